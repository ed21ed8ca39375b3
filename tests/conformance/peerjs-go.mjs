// peerjs-go, a PeerJS for Go on Pion, beside PeerJS in Chromium.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CHROMIUM, launchChromium } from '../../client-tests/lib/chromium.mjs';
import { startServer } from '../../client-tests/lib/server.mjs';
import { within } from '../../client-tests/lib/within.mjs';
import { need, peerjsGoProgram } from './programs.mjs';
import { below } from './tools.mjs';

const PATIENCE = 30_000;

/** A peer in the page that sends back what comes. */
function echo() {
  window.peer = new window.Peer('browser', { config: { iceServers: [] } });
  window.peer.on('connection', (connection) => connection.on('data', (data) => connection.send(data)));
  return new Promise((opened) => window.peer.on('open', opened));
}

/** Sends bytes to the peer in Go, which sends them back. Resolves with true if they are the same. */
function ask() {
  const sent = Uint8Array.from({ length: 10_000 }, (_, n) => n);
  const connection = window.peer.connect('go', { serialization: 'raw', reliable: true });
  connection.on('open', () => connection.send(sent));
  return new Promise((asked) => connection.on('data', (data) => asked(new Uint8Array(data).join() === sent.join())));
}

export async function peerjsGo() {
  need(CHROMIUM);
  const program = await peerjsGoProgram();
  const pages = join(below('peerjs-go'), 'pages');
  mkdirSync(pages, { recursive: true });
  writeFileSync(join(pages, 'page.html'), '<!doctype html><title>A peer</title><script src="/peerjs.js"></script>');
  const server = await startServer(['--static_dir', pages]);
  const browser = await launchChromium();
  let peer;
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.port}/page.html`);
    await within('the peer in the browser', page.evaluate(echo));
    peer = spawn(program, [`${server.port}`, 'browser'], { stdio: ['ignore', 'pipe', 'pipe'] });
    peer.stderr.pipe(createWriteStream(below('peerjs-go.log')));
    const said = createInterface({ input: peer.stdout });
    await within(`what peerjs-go sends (see ${below('peerjs-go.log')})`, new Promise((done) => said.on('line', (line) => line === 'done' && done())), PATIENCE);
    if (!await within('what peerjs-go sends back', page.evaluate(ask), PATIENCE)) throw new Error('other bytes come back from peerjs-go');
  } finally {
    if (peer) {
      const exited = once(peer, 'exit');
      peer.kill('SIGKILL');
      await exited;
    }
    await Promise.all([browser.close(), server.stop()]);
  }
  return 'bytes each way with Chromium, whoever connects';
}
