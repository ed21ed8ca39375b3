// What an app of Node hears from the program, and when: in the order in which it happened, also while it is slow.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createRequire } from 'node:module';
import express from 'express';
import { baseOf, text } from '../lib/node-api.mjs';
import { it, listen, serverOf } from '../lib/node-app.mjs';
import { loadPackage, source } from '../lib/npm-package.mjs';
import { PeerSocket } from '../lib/peer-socket.mjs';
import { isThorough } from '../lib/thorough.mjs';
import { within } from '../lib/within.mjs';

const { ExpressPeerServer } = loadPackage();

/** An app with the broker, and with a route that lists the clients that it has heard of. */
async function start() {
  const { app, server } = serverOf(express);
  const peers = ExpressPeerServer(server);
  const members = new Set();
  peers.on('connection', (client) => members.add(client.getId()));
  peers.on('disconnect', (client) => members.delete(client.getId()));
  app.use('/peerjs', peers);
  app.get('/members', (_, res) => res.json([...members]));
  await listen(server);
  return { server, peers, members, base: baseOf(server, '/peerjs'), members_url: `${baseOf(server)}members` };
}

function busy(milliseconds) {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

/** Resolves once something is true after an event. */
function until(peers, event, isTrue) {
  return within(event, new Promise((resolve) => {
    const look = () => {
      if (!isTrue()) return;
      peers.off(event, look);
      resolve(null);
    };
    peers.on(event, look);
    look();
  }), 100_000);
}

// Of each of 40 clients. All together are more than the 8192 events for which a slow reader has time elsewhere in the program, and every
// night nearly as many as the pipe has room for.
const MESSAGES = isThorough ? 1900 : 300;

it('an app that was slow hears of every client and every message, in their order', async () => {
  const { peers, members, base } = await start();
  const heard = new Map();
  let messages = 0;
  let wrong = 0;
  peers.on('message', (client, { type, number }) => {
    busy(0.05);
    messages += 1;
    if (!members.has(client.getId())) wrong += 1;
    if (type !== 'count') return;
    if ((heard.get(client.getId()) ?? -1) + 1 !== number) wrong += 1;
    heard.set(client.getId(), number);
  });
  const open = (name, count) => Promise.all(Array.from({ length: count }, (_, at) => PeerSocket.open(base, { id: `${name}-${at}` })));
  const talkers = await open('talker', 40);
  const others = await open('other', 1100);
  const one = await PeerSocket.open(base, { id: 'one' });
  for (let number = 0; number < MESSAGES; number += 1) for (const talker of talkers) talker.send({ type: 'count', number });
  one.send({ type: 'hello' });
  one.send({ type: 'LEAVE' });
  await one.end();
  await Promise.all(others.map((other) => other.close()));
  await until(peers, 'message', () => messages === 40 * MESSAGES + 2);
  await until(peers, 'disconnect', () => members.size === 40);
  assert.equal(wrong, 0);
  // It is not deaf.
  const late = await PeerSocket.open(base, { id: 'late' });
  const last = once(peers, 'message');
  late.send({ type: 'last' });
  assert.equal((await within('the message', last))[1].type, 'last');
  const gone = once(peers, 'disconnect');
  await late.close();
  assert.equal((await within('disconnect', gone))[0].getId(), 'late');
});

it('a client that is open is in the list of the app, and its socket is open', async () => {
  const { peers, base, members_url } = await start();
  const states = new Set();
  peers.on('connection', (client) => states.add(client.getSocket().readyState));
  // Others whose messages the app has to handle first.
  peers.on('message', () => busy(0.5));
  const talker = await PeerSocket.open(base, { id: 'talker' });
  for (let number = 0; number < 50; number += 1) {
    for (let message = 0; message < 20; message += 1) talker.send({ type: 'chat' });
    const client = new PeerSocket(base, { id: `client-${number}` });
    const seen = new Promise((resolve) => client.socket.once('message', () => resolve(text(members_url))));
    assert.ok(JSON.parse(await within('the list', seen)).includes(`client-${number}`), `client-${number} is missing`);
  }
  assert.deepEqual([...states], [1]);
});

it('a text for a client does not reach the next one that has its id', async () => {
  const { peers, base } = await start();
  for (let time = 0; time < 20; time += 1) {
    const came = once(peers, 'connection');
    const alice = await PeerSocket.open(base, { id: 'same', token: `alice ${time}` });
    const [client] = await within('connection', came);
    alice.send({ type: 'LEAVE' });
    const next = new PeerSocket(base, { id: 'same', token: `next ${time}` });
    const frames = [];
    next.socket.on('message', (frame) => {
      // The app has waited for something, and answers now.
      if (frames.length === 0) client.send({ type: 'secret' });
      frames.push(JSON.parse(String(frame)).type);
    });
    await next.frame('OPEN');
    next.send({ type: 'OFFER', dst: 'same' });
    await next.frame('OFFER');
    assert.deepEqual(frames, ['OPEN', 'OFFER']);
    const gone = once(peers, 'disconnect');
    await next.close();
    await within('disconnect', gone);
  }
});

it('server.close() is a disconnect of each client, also while the app is slow', async () => {
  const { server, peers, members, base } = await start();
  const clients = await Promise.all(Array.from({ length: 30 }, (_, at) => PeerSocket.open(base, { id: `client-${at}` })));
  const heard = until(peers, 'message', () => true);
  peers.on('message', () => busy(1));
  for (const client of clients) for (let message = 0; message < 100; message += 1) client.send({ type: 'chat' });
  await heard;
  const gone = [];
  peers.on('disconnect', (client) => gone.push([client.getId(), client.getSocket().readyState]));
  server.close();
  assert.deepEqual(gone.sort(), clients.map((_, at) => [`client-${at}`, 3]).sort());
  assert.equal(members.size, 0);
  for (const client of clients) assert.equal(await client.end(), 1001);
});

it('a slow app delays no connections', async () => {
  const { peers, base } = await start();
  let messages = 0;
  peers.on('message', () => {
    busy(20);
    messages += 1;
  });
  const talker = await PeerSocket.open(base, { id: 'talker' });
  for (let message = 0; message < 1000; message += 1) talker.send({ type: 'chat' });
  await until(peers, 'message', () => messages > 0);
  for (let number = 0; number < 5; number += 1) {
    const client = await PeerSocket.open(base, { id: `client-${number}` });
    client.send({ type: 'OFFER', dst: `client-${number}` });
    await client.frame('OFFER');
  }
  assert.ok(messages < 900, `the app had handled ${messages} of 1000 messages`);
});

it('an app that lost messages hears who is here', async () => {
  const { peers, members, base } = await start();
  const talker = await PeerSocket.open(base, { id: 'talker' });
  const leaver = await PeerSocket.open(base, { id: 'leaver' });
  peers.on('message', () => busy(100));
  const payload = 'x'.repeat(500_000);
  for (let message = 0; message < 60; message += 1) talker.send({ type: 'chat', payload });
  await leaver.close();
  const last = await PeerSocket.open(base, { id: 'last' });
  last.send({ type: 'OFFER', dst: 'talker' });
  await talker.frame('OFFER');
  await until(peers, 'disconnect', () => !members.has('leaver'));
  await until(peers, 'connection', () => members.has('last'));
  assert.deepEqual([...members].sort(), ['last', 'talker']);
});

// On a busy machine, the program may be slow to answer while the app has nothing to do.
it('a client waits until the app has heard of it while only the program is slow', async () => {
  const { Program } = createRequire(import.meta.url)(`${source}/lib/program.js`);
  const program = Object.create(Program.prototype);
  const state = { hearing: new Map(), asked: 0, isLagging: false, child: {}, hasLines: () => false, tell() {} };
  Object.assign(program, state);
  let isHeard = false;
  const heard = program.heard().then(() => (isHeard = true));
  await new Promise((resolve) => setTimeout(resolve, 1200));
  assert.equal(isHeard, false);
  program.hear({ event: 'synced', number: 1 });
  await within('the answer', heard);
  assert.equal(program.isLagging, false);
  // An app with lines to handle delays nobody.
  program.hasLines = () => true;
  await within('the end of the wait', program.heard());
  assert.equal(program.isLagging, true);
});

// Sessions of two connections run on different threads of the program.
it('a client and its successor keep their texts and their ends, in whichever order these are told', () => {
  const { Broker } = createRequire(import.meta.url)(`${source}/lib/broker.js`);
  const app = new EventEmitter();
  const state = { app, clients: new Map(), connections: new Map(), signs: new Map(), program: { tell() {} } };
  const broker = Object.assign(Object.create(Broker.prototype), state);
  const seen = [];
  for (const event of ['connection', 'disconnect']) app.on(event, (client) => seen.push(`${event} ${client.getToken()}`));
  app.on('message', (client, { type }) => seen.push(`${type} of ${client.getToken()}`));
  const heardAfter = (...lines) => {
    for (const [event, connection, more] of lines) {
      const about = event === 'text' ? { text: `{"type":"${more}"}` } : event === 'clients' ? { clients: more } : { token: more };
      broker.told({ event, id: 'a', connection, ...about });
    }
    return seen.splice(0);
  };

  assert.deepEqual(heardAfter(['connected', 1, 'x'], ['text', 1, 'one']), ['connection x', 'one of x']);
  // Another client has the id, and the end of the first connection is told late.
  assert.deepEqual(
    heardAfter(['connected', 2, 'y'], ['text', 1, 'late'], ['disconnected', 1], ['text', 2, 'two']),
    ['disconnect x', 'connection y', 'two of y'],
  );
  // The client itself comes again.
  assert.deepEqual(
    heardAfter(['connected', 3, 'y'], ['text', 2, 'last'], ['disconnected', 2], ['text', 2, 'never'], ['text', 3, 'three']),
    ['connection y', 'last of y', 'three of y'],
  );
  // Lines are lost. Some of those that follow are part of the list already.
  const here = [{ id: 'a', token: 'z', connection: 5 }, { id: 'b', token: 'b', connection: 6 }];
  assert.deepEqual(
    heardAfter(['clients', 0, here], ['disconnected', 3], ['connected', 4, 'y'], ['connected', 5, 'z'], ['text', 5, 'five']),
    ['disconnect y', 'connection z', 'connection b', 'five of z'],
  );
  assert.deepEqual(heardAfter(['disconnected', 5], ['disconnected', 5], ['disconnected', 6]), ['disconnect z', 'disconnect b']);
  assert.deepEqual([broker.clients.size, broker.connections.size], [0, 0]);
});
