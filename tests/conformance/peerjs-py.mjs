// peerjs-py, a PeerJS for Python on aiortc, beside a browser's PeerJS.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHROMIUM, launchChromium } from '../../client-tests/lib/chromium.mjs';
import { startServer } from '../../client-tests/lib/server.mjs';
import { within } from '../../client-tests/lib/within.mjs';
import { need } from './programs.mjs';
import { below, output, pythonPackages } from './tools.mjs';

// These are the newest ones that peerjs-py accepts.
const PACKAGES = ['peerjs-py==0.1.1', 'aiortc==1.10.1', 'av==13.1.0'];

/** A peer in the page, as peerjs_peers.py and peers/peerjs.mjs describe it. */
export function answer(serialization = 'json') {
  const peer = new window.Peer('browser', { config: { iceServers: [] } });
  peer.on('connection', (connection) => connection.on('data', (data) => {
    if (!data.call) {
      connection.send({ echo: data });
      return;
    }
    const called = peer.connect(data.call, { serialization });
    called.on('open', () => called.send('from the browser'));
    called.on('data', (answer) => connection.send(answer));
  }));
  return new Promise((opened) => peer.on('open', opened));
}

export async function peerjsPy() {
  need(CHROMIUM);
  const env = await pythonPackages('python3', ...PACKAGES);
  const pages = below('peerjs-py');
  mkdirSync(pages, { recursive: true });
  writeFileSync(join(pages, 'page.html'), '<!doctype html><title>A peer</title><script src="/peerjs.js"></script>');
  const server = await startServer(['--static_dir', pages]);
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.port}/page.html`);
    await within('the peer in the browser', page.evaluate(answer));
    const { code } = await output('peerjs-py', 'python3', [join(import.meta.dirname, 'peerjs_peers.py'), '127.0.0.1', `${server.port}`], { env });
    if (code !== 0) throw new Error(`see ${below('peerjs-py.log')}`);
  } finally {
    await Promise.all([browser.close(), server.stop()]);
  }
  return 'Python to Python, Python to a browser, a browser to Python, and back';
}
