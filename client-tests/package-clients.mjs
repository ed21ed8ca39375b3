// The clients of scripts/test-package.sh: `node package-clients.mjs URL`. Says `ready` when two PeerJS clients have a connection, and
// opens sockets until its stdin ends. Then it prints how many failed, and connects the two again.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { launchChromium } from './lib/chromium.mjs';
import { within } from './lib/within.mjs';

const PATIENCE = 60_000;
const url = new URL(process.argv[2]);
const browser = await launchChromium({});
try {
  const page = await browser.newPage();
  await page.goto(new URL('/healthz', url).href);
  await page.addScriptTag({ path: join(import.meta.dirname, 'clients/1.5.5/peerjs.min.js') });
  await page.evaluate(startPeers, { host: url.hostname, port: Number(url.port) });
  await within('two peers to connect', page.evaluate(() => window.connect('before')), PATIENCE);
  await page.evaluate(startOpening, url.origin.replace('http', 'ws'));
  console.log('ready');
  process.stdin.resume();
  await once(process.stdin, 'end');
  const { opened, failed } = await within('the last socket', page.evaluate(() => window.stopOpening()), PATIENCE);
  console.log(`${opened} sockets opened, ${failed} failed`);
  await within('the peers to come back and connect', page.evaluate(() => window.connect('after')), PATIENCE);
  console.log(`the peers came back ${await page.evaluate(() => window.reconnects)} times, and connected`);
  assert.ok(opened > 0 && failed === 0);
} finally {
  await browser.close();
}

// The functions below run in the page.

function startPeers(address) {
  window.reconnects = 0;
  const open = (id) => {
    const peer = new Peer(id, { ...address, path: '/', config: { iceServers: [] } });
    peer.on('disconnected', () => {
      window.reconnects += 1;
      peer.reconnect();
    });
    return peer;
  };
  const [alice, bob] = [open('alice'), open('bob')];
  bob.on('connection', (connection) => connection.on('data', (data) => connection.send(`echo ${data}`)));
  const isOpen = (peer) => peer.open || new Promise((resolve) => peer.once('open', resolve));
  window.connect = async (text) => {
    await Promise.all([isOpen(alice), isOpen(bob)]);
    const connection = alice.connect('bob');
    await new Promise((resolve) => connection.on('open', resolve));
    const answer = new Promise((resolve) => connection.on('data', resolve));
    connection.send(text);
    if ((await answer) !== `echo ${text}`) throw new Error('another answer');
    connection.close();
  };
}

// Several at a time, so that at any moment one is about to open.
function startOpening(origin) {
  const LANES = 8;
  let [opened, failed, stopped] = [0, 0, false];
  const open = () =>
    new Promise((resolve) => {
      const socket = new WebSocket(`${origin}/peerjs?key=peerjs&id=${crypto.randomUUID()}&token=t`);
      // The first message is OPEN: before it, the broker has not accepted the client.
      socket.onmessage = () => {
        resolve(true);
        socket.close();
      };
      socket.onclose = () => resolve(false);
    });
  const lane = async () => {
    while (!stopped) {
      if (await open()) opened += 1;
      else failed += 1;
    }
  };
  const lanes = Promise.all(Array.from({ length: LANES }, lane));
  window.stopOpening = async () => {
    stopped = true;
    await lanes;
    return { opened, failed };
  };
}
