// PeerJS in Node, with each of the libraries that give it WebRTC, beside PeerJS in Chromium.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHROMIUM, launchChromium } from '../../client-tests/lib/chromium.mjs';
import { startServer } from '../../client-tests/lib/server.mjs';
import { within } from '../../client-tests/lib/within.mjs';
import { answer } from './peerjs-py.mjs';
import { LIBJUICE, WERIFT, need } from './programs.mjs';
import { below, npmPackages, output } from './tools.mjs';

const PEERJS = 'peerjs@1.5.5';
/** The modules of the libraries. */
const LIBRARIES = ['node-datachannel/polyfill', '@roamhq/wrtc', 'werift'];

export async function peerjsNode() {
  need(CHROMIUM);
  const folder = await npmPackages('peerjs-node', PEERJS, LIBJUICE, '@roamhq/wrtc@0.10.0', WERIFT, 'ws@8.23.0');
  const pages = join(folder, 'pages');
  mkdirSync(pages, { recursive: true });
  writeFileSync(join(pages, 'page.html'), '<!doctype html><title>A peer</title><script src="/peerjs.js"></script>');
  const server = await startServer(['--static_dir', pages]);
  const browser = await launchChromium();
  try {
    for (const library of LIBRARIES) {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${server.port}/page.html`);
      await within('the peer in the browser', page.evaluate(answer, 'binary'));
      const log = `peerjs-node-${library.replaceAll(/\W/g, '-')}`;
      const { code } = await output(log, process.execPath, [join(import.meta.dirname, 'peers/peerjs.mjs'), folder, library, `${server.port}`], { timeout: 60_000 });
      if (code !== 0) throw new Error(`${library}: see ${below(`${log}.log`)}`);
      await page.close();
    }
  } finally {
    await Promise.all([browser.close(), server.stop()]);
  }
  return `${LIBRARIES.join(', ')}: data each way with Chromium, whoever connects`;
}
