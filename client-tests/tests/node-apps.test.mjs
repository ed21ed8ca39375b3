// Apps of Node with peerbroker in them, as people write them: with other libraries beside it, at other paths, behind proxies.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import http from 'node:http';
import { createRequire } from 'node:module';
import net from 'node:net';
import express5 from 'express';
import { Server as SocketIo } from 'socket.io';
import { io } from 'socket.io-client';
import { WebSocketServer } from 'ws';
import { baseOf, text } from '../lib/node-api.mjs';
import { handshake, it, listen, reaches, serverOf, servers } from '../lib/node-app.mjs';
import { loadPackage, source } from '../lib/npm-package.mjs';
import { PeerSocket } from '../lib/peer-socket.mjs';
import { until, within } from '../lib/within.mjs';

const { ExpressPeerServer, PeerServer } = loadPackage();
const require = createRequire(import.meta.url);

/** A server that has only the broker. */
async function alone(options = {}) {
  const server = http.createServer();
  const peers = ExpressPeerServer(server, options);
  server.on('request', peers);
  return { server: await listen(server), peers };
}

for (const order of ['before', 'after']) {
  it(`socket.io and ws ${order} it on one server go on, and so does it`, async () => {
    const { app, server } = serverOf(express5);
    const peers = () => app.use('/peerjs', ExpressPeerServer(server));
    if (order === 'after') peers();
    const rooms = new SocketIo(server);
    const chat = new WebSocketServer({ noServer: true });
    // As the documentation of ws has it: all others are ended.
    server.on('upgrade', (req, socket, head) => {
      if (req.url.startsWith('/socket.io/')) return;
      if (req.url === '/chat') chat.handleUpgrade(req, socket, head, (one) => one.close());
      else socket.destroy();
    });
    if (order === 'before') peers();
    await listen(server);
    const base = baseOf(server);

    const guest = io(base, { transports: ['websocket'], reconnection: false });
    await within('socket.io', new Promise((resolve) => guest.once('connect', () => resolve(null))));
    assert.equal(await handshake(`${base}chat`), 'open');
    await reaches(`${base}peerjs/`);
    // engine.io ends strangers after a second.
    const alice = await PeerSocket.open(`${base}peerjs/`, { id: 'long' });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    alice.send({ type: 'OFFER', dst: 'long' });
    await alice.frame('OFFER');
    guest.close();
    await rooms.close();
  });

  it(`a server of ws with a path, ${order} two brokers on one server, and both of them`, async () => {
    const { app, server } = serverOf(express5);
    const chats = () => new WebSocketServer({ server, path: '/chat' });
    if (order === 'before') chats();
    app.use('/one', ExpressPeerServer(server, { key: 'one' }));
    app.use('/two', ExpressPeerServer(server, { key: 'two', path: '/deep' }));
    if (order === 'after') chats();
    await listen(server);
    const base = baseOf(server);

    assert.equal(await handshake(`${base}chat`), 'open');
    const one = await PeerSocket.open(`${base}one/`, { id: 'same', key: 'one' });
    const two = await PeerSocket.open(`${base}two/deep/`, { id: 'same', key: 'two' });
    for (const socket of [one, two]) {
      socket.send({ type: 'OFFER', dst: 'same' });
      await socket.frame('OFFER');
    }
    assert.match(await handshake(`${base}nothing`), /400/);
  });
}

it('a refused handshake is answered, and no request after it goes on', async () => {
  const { server } = await alone();
  const { port } = /** @type {any} */ (server.address());
  const socket = net.connect(port, '127.0.0.1');
  let answer = '';
  socket.on('data', (bytes) => (answer += bytes));
  const upgrade = 'GET /peerjs?key=peerjs&id=a&token=t HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n';
  // Without a version and a key.
  socket.write(`${upgrade}\r\nGET /peerjs/id HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n`);
  await within('the end', once(socket, 'close'));
  assert.match(answer, /^HTTP\/1.1 4\d\d /);
  assert.equal(answer.match(/HTTP\/1.1/g).length, 1);
});

it('clients that leave before the answer leave no connection to the program', async () => {
  const { app, server } = serverOf(express5);
  app.use((req, res, next) => {
    if (!req.headers['x-leaves']) return next();
    res.once('close', next);
    req.socket.destroy();
  });
  app.use('/peerjs', ExpressPeerServer(server));
  const url = `${baseOf(await listen(server))}peerjs/peerjs.js`;
  const count = () => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
  const before = count();
  for (let left = 0; left < 50; left += 1) await assert.rejects(fetch(url, { headers: { 'X-Leaves': 'yes' } }));
  assert.match(await text(url), /PeerJS/);
  await until('the end of connections', () => count() < before + 10);
});

it('no frame waits for the next one, on either connection of a client', async (t) => {
  const { server } = await alone();
  const { port } = /** @type {any} */ (server.address());
  const { mock } = t.mock.method(net.Socket.prototype, 'setNoDelay');
  await PeerSocket.open(baseOf(server), { id: 'alice' });
  const sockets = mock.calls.map(({ this: socket }) => socket);
  assert.ok(sockets.some(({ localPort }) => localPort === port), 'from the client');
  assert.ok(sockets.some(({ localPort, remotePort }) => localPort !== port && remotePort !== port), 'to the program');
});

it('its clients get ICE servers, and scripts as small as the program makes them', async () => {
  const { server } = await alone();
  const { iceServers, ttl } = await (await fetch(`${baseOf(server)}peerjs/ice`)).json();
  assert.ok(Array.isArray(iceServers) && ttl > 0);
  const { headers } = await fetch(`${baseOf(server)}rooms.js`, { headers: { origin: 'https://page.test', 'accept-encoding': 'gzip' } });
  assert.deepEqual([headers.get('content-encoding'), headers.get('vary')], ['gzip', 'Origin, Accept-Encoding']);
});

it('an app with createWebSocketServer reads no more of a client whose texts wait, however short they are', () => {
  const { bridge } = require(`${source}/lib/bridge.js`);
  const socket = Object.assign(new EventEmitter(), { pause: () => (socket.isPaused = true), isPaused: false });
  bridge(socket, () => new Promise(() => {}), {}, async () => {});
  for (let text = 0; text < 200; text += 1) socket.emit('message', Buffer.alloc(0), false);
  assert.ok(socket.isPaused);
});

it('a wrong key gets no id and no list over HTTP', async () => {
  const { server } = await alone({ allow_discovery: true });
  for (const path of ['theirs/id', 'theirs/peers']) {
    const answer = await fetch(`${baseOf(server)}${path}`, { headers: { origin: 'https://a.example' } });
    assert.deepEqual([answer.status, await answer.text()], [401, 'Invalid key provided']);
    assert.equal(answer.headers.get('access-control-allow-origin'), 'https://a.example');
  }
});

it('behind other handlers of Express, which read bodies and set headers', async () => {
  const { app, server } = serverOf(express5);
  app.use(express5.json(), express5.urlencoded({ extended: true }));
  app.use((_, res, next) => {
    res.setHeader('X-App', 'yes');
    next();
  });
  app.use('/', ExpressPeerServer(server));
  app.get('/page', (_, res) => res.send('page'));
  app.post('/form', (req, res) => res.json(req.body));
  await listen(server);
  const base = baseOf(server);
  const answer = await fetch(`${base}peerjs/id`);
  assert.deepEqual([answer.status, answer.headers.get('x-app')], [200, 'yes']);
  assert.equal(await text(`${base}page`), 'page');
  const form = await fetch(`${base}form`, { method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json' } });
  assert.deepEqual(await form.json(), { a: 1 });
  await reaches(base);
});

it('a PeerServer that an app mounts as well serves clients at both', async () => {
  const app = express5();
  let own;
  const listening = new Promise((resolve) => (own = resolve));
  const peers = PeerServer({ port: 0, host: '127.0.0.1', path: '/own' }, own);
  app.use('/app', peers);
  const port = await within('the callback', listening);
  servers.push(port);
  const server = await listen(app);
  await reaches(baseOf(port, '/own'));
  assert.match(await text(`${baseOf(server, '/app/own')}peerjs/id`), /^[0-9a-f-]{36}$/);
});

it('broken JSON ends no app without a listener for errors, and reaches no listener for messages', async () => {
  const { server, peers } = await alone();
  const heard = [];
  const next = new Promise((resolve) => peers.on('message', (_, message) => (heard.push(message.type), resolve(null))));
  const alice = await PeerSocket.open(baseOf(server), { id: 'alice' });
  for (const broken of ['{', 'null', '5', '"text"', '']) alice.send(broken);
  alice.send({ type: 'chat' });
  await within('the message', next);
  assert.deepEqual(heard, ['chat']);
});

it('texts of clients come only while the app listens', async () => {
  const { server, peers } = await alone();
  const came = once(peers, 'connection');
  const alice = await PeerSocket.open(baseOf(server), { id: 'alice' });
  const [client] = await within('connection', came);
  const heard = [];
  const listener = (_, { type }) => heard.push(type);
  // The program has obeyed what it was told before when it sends this.
  const obeyed = async (type) => {
    client.send({ type });
    await alice.frame(type);
  };

  const unheard = async (type) => {
    alice.send({ type });
    alice.send({ type: 'OFFER', dst: 'alice' });
    await alice.frame('OFFER');
  };

  await unheard('before');
  peers.on('message', listener);
  await obeyed('on');
  const seen = within('the message', once(peers, 'message'));
  alice.send({ type: 'between' });
  await seen;
  peers.off('message', listener);
  await obeyed('off');
  await unheard('after');
  peers.on('message', listener);
  await obeyed('on again');
  const last = within('the message', once(peers, 'message'));
  alice.send({ type: 'last' });
  await last;
  assert.deepEqual(heard, ['between', 'last']);
});

it('the server closes while clients are connected, and serves again', async () => {
  const { server, peers } = await alone();
  const came = once(peers, 'connection');
  const alice = await PeerSocket.open(baseOf(server), { id: 'alice' });
  await within('connection', came);
  const gone = once(peers, 'disconnect');
  const closed = once(server, 'close');
  server.close();
  assert.equal(await alice.end(), 1001);
  await within('the event', Promise.all([gone, closed]));

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  await reaches(baseOf(server));
});

it('options that the program refuses are an error event with its sentence, and are not tried again', async () => {
  const server = http.createServer();
  const peers = ExpressPeerServer(server, { key: 'k'.repeat(200) });
  server.on('request', peers);
  await listen(server);
  const [error] = await within('error', once(peers, 'error'));
  assert.match(error.message, /^peerbroker has ended with code 2: error: invalid value 'k+' for '--key/);
  assert.equal((await fetch(baseOf(server))).status, 503);
});

it('the socket of a client can send, close and tell its end, and says what it cannot do', async () => {
  const { server, peers } = await alone();
  for (const end of ['close', 'terminate']) {
    const came = once(peers, 'connection');
    const alice = await PeerSocket.open(baseOf(server), { id: 'alice' });
    const [client] = await within('connection', came);
    const socket = client.getSocket();
    assert.deepEqual([socket.readyState, socket.OPEN, socket.CLOSED], [1, 1, 3]);
    assert.throws(() => client.setSocket(null), /setSocket cannot replace one/);
    socket.send('{"type":"text"}');
    await alice.frame('text');
    // As the heartbeat of an app for `ws` does it.
    const pong = once(socket, 'pong');
    await new Promise((resolve) => socket.ping('beat', false, resolve));
    assert.equal(String((await within('pong', pong))[0]), 'beat');
    const closed = Promise.all([once(socket, 'close'), once(peers, 'disconnect')]);
    socket[end]();
    assert.equal(socket.readyState, 2);
    assert.equal(await alice.end(), 4005);
    await within('the end', closed);
    assert.equal(socket.readyState, 3);
    assert.ok((await new Promise((resolve) => socket.ping(resolve))) instanceof Error);
    // Nobody gets it.
    client.send({ type: 'late' });
  }
});

it('an app in place of its server is an error, at once where it can be', async () => {
  const app = express5();
  for (const wrong of [app, {}, null]) {
    assert.throws(() => express5().use('/', ExpressPeerServer(wrong)), /ExpressPeerServer got .*: give it the http.Server of your app/);
  }
  const router = express5.Router();
  router.use(ExpressPeerServer(app));
  app.use('/routed', router);
  const told = new Promise((resolve) => app.use((error, _, __, next) => (resolve(error), next(error))));
  const server = await listen(app);
  assert.equal((await fetch(`${baseOf(server)}routed/peerjs/id`)).status, 500);
  assert.match((await told).message, /ExpressPeerServer got /);
  const bare = await listen(http.createServer(ExpressPeerServer(undefined)));
  assert.match(await (await fetch(baseOf(bare))).text(), /ExpressPeerServer got no server/);
});

it('an option of no meaning is refused with a sentence', () => {
  assert.throws(() => ExpressPeerServer(http.createServer(), { proxied: 'my proxy' }), /proxied: "my proxy" is no address/);
});

it('addresses of clients behind proxies are those of Express', () => {
  const { clientAddress } = require(`${source}/lib/addresses.js`);
  const addressOf = createRequire(require.resolve('express'))('proxy-addr');
  for (const proxied of [false, true, 1, 2, 'loopback', 'loopback, 203.0.113.0/24', ['uniquelocal', '::1'], 'linklocal']) {
    const isTrusted = express5().set('trust proxy', proxied).get('trust proxy fn');
    for (const remoteAddress of ['127.0.0.1', '::ffff:127.0.0.1', '::1', '203.0.113.7', '10.0.0.1', 'fe80::1']) {
      for (const forwarded of [undefined, '198.51.100.1', '198.51.100.1, 203.0.113.9', '1.1.1.1,10.0.0.2, 127.0.0.1', '::1']) {
        const req = { headers: forwarded ? { 'x-forwarded-for': forwarded } : {}, socket: { remoteAddress }, connection: { remoteAddress } };
        const theirs = addressOf(req, isTrusted).replace('::ffff:', '');
        assert.equal(clientAddress(req, isTrusted), theirs, JSON.stringify({ proxied, remoteAddress, forwarded }));
      }
    }
  }
});

it('addresses with ports, as Azure and IIS write them, are read, and others end the search', () => {
  const { clientAddress } = require(`${source}/lib/addresses.js`);
  const isTrusted = express5().set('trust proxy', 'loopback, uniquelocal').get('trust proxy fn');
  for (const [forwarded, address] of [
    ['203.0.113.9:51515', '203.0.113.9'],
    ['[2001:db8::1]:443', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['2001:db8::1', '2001:db8::1'],
    ['203.0.113.9:1, 10.0.0.1:2', '203.0.113.9'],
    ['198.51.100.1, 203.0.113.9:1, [fd00::1]:2', '203.0.113.9'],
    ['[::ffff:203.0.113.9]:1', '203.0.113.9'],
    ['203.0.113.9, unknown, 10.0.0.1', '10.0.0.1'],
    ['', '127.0.0.1'],
  ]) {
    for (const remoteAddress of ['127.0.0.1', undefined]) {
      assert.equal(clientAddress({ headers: { 'x-forwarded-for': forwarded }, socket: { remoteAddress } }, isTrusted), address);
    }
  }
});
