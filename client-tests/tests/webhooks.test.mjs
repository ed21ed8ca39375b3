// Webhooks about clients that come and go, at receivers that use the published library.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { onStage } from '../lib/every-client.mjs';
import { listing } from '../lib/listings.mjs';
import { SECRET, startReceiver } from '../lib/receiver.mjs';
import { startServer } from '../lib/server.mjs';
import { freePort } from '../lib/shipped-proxy.mjs';
import { LIMIT, until, within } from '../lib/within.mjs';

const root = new URL('../', import.meta.url);

onStage('the receiver of the documentation hears of a page that comes and goes', async (stage) => {
  const code = listing('docs/WEBHOOKS.md', 'createServer');
  const port = await freePort();
  const env = { ...process.env, WEBHOOK_SECRET: SECRET, PORT: String(port) };
  const receiver = spawn(process.execPath, ['--input-type=module', '--eval', code], { cwd: root, env });
  try {
    const lines = createInterface(receiver.stdout)[Symbol.asyncIterator]();
    const next = async () => (await within('a line of the receiver', lines.next())).value.split(' ');
    const server = await stage.server(['--webhook', `http://127.0.0.1:${port}/`, '--webhook_secret', SECRET]);
    assert.equal((await next())[1], 'server.started');
    const alice = await stage.client('1.5.5');

    await alice.open(server, 'alice');
    const [, connected, announced] = await next();
    await alice.close();
    const [, gone, ended] = await next();

    assert.deepEqual([connected, gone], ['peer.connected', 'peer.disconnected']);
    const { connection, id } = JSON.parse(announced);
    assert.equal(id, 'alice');
    assert.equal(JSON.parse(ended).connection, connection);
  } finally {
    receiver.kill();
  }
});

const servers = [];
after(() => Promise.all(servers.map((server) => server.stop())));

test('a receiver that is killed, comes back and gets slow hears of every connection once', { timeout: LIMIT }, async () => {
  let receiver = await startReceiver();
  const { port } = receiver;
  const server = await startServer(receiver.flags);
  servers.push(server);
  const heard = [];
  const early = await Promise.all(names('early', 20).map((id) => connect(server, id)));
  await until('the early ones', () => count(receiver.events, 'peer.connected') === 20);

  await receiver.kill();
  assert.equal(receiver.forged, 0);
  heard.push(...receiver.events);
  early.forEach((client) => client.destroy());
  await comeAndGo(server, names('meanwhile', 20));
  await until('a failure', () => /fails, and is tried again/.test(server.transcript()));
  receiver = await startReceiver({ port, delay: 200 });
  await comeAndGo(server, names('slow', 100));
  const late = await connect(server, 'late');
  await until('the early ones to be gone', () => count(receiver.events, 'peer.disconnected') === 140);
  server.signal('SIGTERM');
  late.destroy();
  assert.deepEqual(await within('the server to exit', server.exited), { code: 0, signal: null });
  heard.push(...receiver.events);
  await receiver.kill();

  const events = [...new Map(heard.map((event) => [event.id, event])).values()];
  const connections = new Map();
  for (const event of events.filter(({ data }) => data.connection)) {
    const { connection } = event.data;
    connections.set(connection, [...(connections.get(connection) ?? []), event]);
  }
  assert.equal(connections.size, 141);
  for (const [connection, pair] of connections) {
    assert.deepEqual(pair.map(({ type }) => type), ['peer.connected', 'peer.disconnected'], connection);
    assert.equal(pair[0].data.id, pair[1].data.id);
  }
  assert.equal(receiver.forged, 0);
  assert.doesNotMatch(server.transcript(), /could not be sent|are lost/);
});

const names = (name, number) => Array.from({ length: number }, (_, n) => `${name}-${n}`);

const count = (events, type) => events.filter((event) => event.type === type).length;

async function comeAndGo(server, ids) {
  for (const id of ids) (await connect(server, id)).destroy();
}

/** A client that holds its id until its socket is destroyed. */
async function connect(server, id) {
  const headers = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };
  const path = `/peerjs?key=peerjs&id=${id}&token=t`;
  const request = get({ host: '127.0.0.1', port: server.port, path, headers, agent: false });
  const [, socket, head] = await within(`${id} to connect`, once(request, 'upgrade'));
  // OPEN is the first frame.
  if (head.length === 0) await within(`${id} to be open`, once(socket, 'data'));
  return socket;
}
