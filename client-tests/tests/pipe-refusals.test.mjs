// webrtc.js in Node, at brokers that take no socket of it: which of them it asks for the reason, and when it goes on trying.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, test } from 'node:test';
import { WebSocketServer } from 'ws';
import { BrowserSocket } from '../lib/browser-socket.mjs';
import { listen } from '../lib/listen.mjs';
import { startPipeServer } from '../lib/pipe-server.mjs';
import { Stage, testOn } from '../lib/stage.mjs';
import { LIMIT, until, within } from '../lib/within.mjs';

globalThis.WebSocket = /** @type {any} */ (BrowserSocket);
// The script looks for it when it is loaded.
const { install } = await import('../../client/src/pipe/install.js');

const made = /** @type {RTCPeerConnection[]} */ ([]);
const closeAll = () => made.splice(0).forEach((connection) => connection.close());
afterEach(closeAll);

const options = { timeout: LIMIT };

/** The channels of two connections whose data goes over this broker. */
async function meet(broker, key = 'peerjs') {
  install({ broker, key });
  const [one, other] = [new RTCPeerConnection(), new RTCPeerConnection()];
  made.push(one, other);
  const channels = [one, other].map((connection) => connection.createDataChannel('x', { negotiated: true, id: 0 }));
  await one.setLocalDescription();
  await other.setRemoteDescription(one.localDescription);
  await other.setLocalDescription();
  await one.setRemoteDescription(other.localDescription);
  return channels;
}

const all = (channels, type) => within(`${type} of both channels`, Promise.all(channels.map((channel) => once(channel, type))));

/** Both pages hear this. */
async function refuses(channels, reason) {
  for (const [{ error }] of await all(channels, 'error')) assert.match(error.message, reason);
}

/** @type {Record<string, { flags?: string[], path?: string, reason: RegExp }>} */
const REFUSALS = {
  'has banned the address of the page': { flags: ['--ban', '127.0.0.1'], reason: /the broker at \S+ refuses this page: This address is banned/ },
  'has another path': { path: 'elsewhere/', reason: /there is no broker at \S+\/elsewhere\// },
  'is started with --pipes off': { flags: ['--pipes', 'off'], reason: /does not carry the data of this page: Pipes are off/ },
};

for (const [name, { flags, path = '', reason }] of Object.entries(REFUSALS)) {
  testOn(`a page hears why there is no data if the broker ${name}`, () => new Stage(), async (stage) => {
    const broker = await stage.server(flags);
    await refuses(await meet(`http://127.0.0.1:${broker.port}/${path}`), reason);
  });
}

testOn('a page hears why there is no data if its origin may not use the key', () => new Stage(), async (stage) => {
  const keys = stage.keys();
  await keys.add('mine', '--origin', 'https://game.example.org');
  const broker = await stage.server(keys.flags);
  await refuses(await meet(`http://127.0.0.1:${broker.port}/`, 'mine'), /does not carry the data of this page: This origin may not use the key/);
});

/** A server that takes no socket until the test opens it, and gives this answer to pages that ask. `asked` counts these. */
async function closedServer(t, answer) {
  const counts = { asked: 0 };
  const server = await startPipeServer({
    serve: (_, response) => {
      counts.asked += 1;
      answer(response);
    },
  });
  t.after(async () => {
    closeAll();
    await until('the pipes to end', () => server.pipes.size === 0);
    await server.stop();
  });
  server.isClosed = true;
  return { server, counts };
}

const ANSWERS = {
  'that a broker is there': (response) => response.end('hello'),
  'to come again soon': (response) => response.writeHead(429, { 'Retry-After': '1' }).end(),
  'without a time': (response) => response.writeHead(503).end(),
  'nothing, because the network is gone': (response) => response.destroy(),
};

for (const [name, answer] of Object.entries(ANSWERS)) {
  test(`a page that is told ${name} asks once, and goes on trying`, options, async (t) => {
    const { server, counts } = await closedServer(t, answer);
    const opened = all(await meet(server.url), 'open');
    await until('both pages to try several times', () => server.turnedAway >= 6);
    server.isClosed = false;
    await opened;
    assert.equal(counts.asked, 2);
  });
}

test('a page that is told to come again after all patience gives up', options, async (t) => {
  const { server } = await closedServer(t, (response) => response.writeHead(503, { 'Retry-After': '60' }).end());
  await refuses(await meet(server.url), /takes this page in 60 s at the earliest/);
  assert.equal(server.turnedAway, 2);
});

test('a page that loses its socket does not ask', options, async (t) => {
  const { server, counts } = await closedServer(t, (response) => response.writeHead(403).end());
  server.isClosed = false;
  const channels = await meet(server.url);
  await all(channels, 'open');
  server.isClosed = true;
  server.drop(0);
  server.drop(1);
  await until('both pages to try several times', () => server.turnedAway >= 6);
  server.isClosed = false;
  channels[0].send('hello');
  const [[{ data }]] = await all([channels[1]], 'message');
  assert.deepEqual([data, counts.asked], ['hello', 0]);
});

const turn = () => new Promise((later) => { setImmediate(later); });

test('a page gives up on a broker that takes its socket and says nothing', options, async (t) => {
  const silent = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  t.after(() => {
    silent.clients.forEach((socket) => socket.terminate());
    silent.close();
  });
  await once(silent, 'listening');
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.now() });
  const channels = await meet(`http://127.0.0.1:${/** @type {net.AddressInfo} */ (silent.address()).port}/`);
  const reasons = [];
  for (const channel of channels) channel.addEventListener('error', ({ error }) => reasons.push(error.message));
  while (silent.clients.size < 2) await turn();
  for (let second = 0; second < 45; second += 1) {
    t.mock.timers.tick(1_000);
    await turn();
  }
  assert.equal(reasons.length, 2);
  assert.match(reasons[0], /the broker took no data for 30 s/);
});

test('a page gives a socket up only after the time that a broker may wait for the end of a dead node', options, async (t) => {
  let dialled = 0;
  globalThis.WebSocket = /** @type {any} */ (class extends BrowserSocket {
    constructor(url) {
      super(url);
      dialled += 1;
    }
  });
  t.after(() => { globalThis.WebSocket = /** @type {any} */ (BrowserSocket); });
  const silent = await listen(net.createServer());
  t.after(silent.stop);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  await meet(silent.url);
  while (dialled < 2) await turn();

  // See PATIENCE in crates/node/src/session/pipe_place.rs.
  t.mock.timers.tick(12_000);
  await turn();
  assert.equal(dialled, 2);
  t.mock.timers.tick(12_000);
  await turn();
  assert.equal(dialled, 4);
});
