// The public behaviour of npm's `peer` 1.x that its documentation promises, and more that apps rely on: the same tests for `peer` and
// for `peerbroker`.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { afterEach, test } from 'node:test';
import express5 from 'express';
import express4 from 'express4';
import { WebSocketServer } from 'ws';
import { PeerSocket, endSockets } from './peer-socket.mjs';
import { selfSigned } from './server.mjs';
import { LIMIT, within } from './within.mjs';

/** @param {string} name @param {{ PeerServer: any, ExpressPeerServer: any }} api */
export function testApi(name, { PeerServer, ExpressPeerServer }) {
  const it = (behaviour, run) => test(`${name}: ${behaviour}`, { timeout: LIMIT }, run);
  const servers = [];

  afterEach(() => {
    endSockets();
    return Promise.all(servers.splice(0).map(endServer));
  });

  /** A `PeerServer` on a free port. */
  async function start(options = {}) {
    let heard;
    const listening = new Promise((resolve) => (heard = resolve));
    const peers = PeerServer({ host: '127.0.0.1', port: 0, ...options }, heard);
    const server = await within('the callback', listening);
    servers.push(server);
    return { peers, server, base: baseOf(server, options.path) };
  }

  /** A mounted `ExpressPeerServer`. */
  async function mount(express, at, options = {}) {
    const app = express();
    const server = app.listen(0, '127.0.0.1');
    servers.push(server);
    await once(server, 'listening');
    const peers = ExpressPeerServer(server, options);
    app.use(at, peers);
    return { app, server, peers, base: baseOf(server, `${at}/${options.path ?? ''}`) };
  }

  it('PeerServer gives its callback a server that listens, and serves the root as JSON', async () => {
    const { server, base } = await start({ path: '/myapp' });
    assert.ok(server.listening);
    assert.deepEqual(await json(base), {
      name: 'PeerJS Server',
      description: 'A server side element to broker connections between PeerJS clients.',
      website: 'https://peerjs.com/',
    });
    assert.equal((await fetch(new URL('/', base))).status, 404);
  });

  it('ids are fresh, and can be made by the app', async () => {
    const { base } = await start();
    const ids = [await text(`${base}peerjs/id`), await text(`${base}peerjs/id`)];
    for (const id of ids) assert.match(id, /^[0-9a-f-]{36}$/);
    assert.notEqual(ids[0], ids[1]);

    let made = 0;
    const own = await start({ generateClientId: () => `guest-${(made += 1)}` });
    assert.deepEqual([await text(`${own.base}peerjs/id`), await text(`${own.base}peerjs/id`)], ['guest-1', 'guest-2']);
  });

  it('generateClientId is asked again for an id that somebody has', async () => {
    const ids = ['taken', 'free'];
    const { peers, base } = await start({ generateClientId: () => ids.shift() });
    await connected(peers, PeerSocket.open(base, { id: 'taken' }));
    assert.equal(await text(`${base}peerjs/id`), 'free');
  });

  it('the list of ids is refused unless it is allowed', async () => {
    const { base } = await start();
    assert.equal((await fetch(`${base}peerjs/peers`)).status, 401);

    const open = await start({ allow_discovery: true });
    for (const id of ['one', 'two']) await connected(open.peers, PeerSocket.open(open.base, { id }));
    assert.deepEqual((await json(`${open.base}peerjs/peers`)).sort(), ['one', 'two']);
  });

  it('a client that comes and goes is an event each, with id and token', async () => {
    const { peers, base } = await start();
    const came = once(peers, 'connection');
    const socket = await PeerSocket.open(base, { id: 'alice', token: 'secret' });
    const [client] = await within('connection', came);
    assert.deepEqual([client.getId(), client.getToken(), client.id], ['alice', 'secret', 'alice']);

    const went = once(peers, 'disconnect');
    await socket.close();
    assert.equal((await within('disconnect', went))[0], client);
  });

  it('messages are delivered, and are events with their sender', async () => {
    const { peers, base } = await start();
    // Before clients come: the program needs a moment to hear of it.
    const seen = collect(peers, 'message', 2);
    const [alice, bob] = await Promise.all(['alice', 'bob'].map((id) => PeerSocket.open(base, { id })));
    alice.send({ type: 'OFFER', src: 'mallory', dst: 'bob', payload: { sdp: 'ü\u2028' } });
    const offer = await bob.frame('OFFER');
    bob.send({ type: 'ANSWER', dst: 'alice', payload: 1 });
    await alice.frame('ANSWER');
    assert.deepEqual(offer, { type: 'OFFER', src: 'alice', dst: 'bob', payload: { sdp: 'ü\u2028' } });
    const [[from, message], [answerer, answer]] = await seen;
    assert.deepEqual([from.getId(), answerer.getId()], ['alice', 'bob']);
    assert.deepEqual(message, { type: 'OFFER', src: 'alice', dst: 'bob', payload: { sdp: 'ü\u2028' } });
    assert.deepEqual(answer, { type: 'ANSWER', src: 'bob', dst: 'alice', payload: 1 });
  });

  it('heartbeats and messages of unknown types are events too', async () => {
    const { peers, base } = await start();
    const seen = collect(peers, 'message', 2);
    const alice = await PeerSocket.open(base, { id: 'alice' });
    alice.send({ type: 'HEARTBEAT' });
    alice.send({ type: 'chat', room: [1], text: 'hello' });
    const messages = (await seen).map(([client, message]) => [client.getId(), message.type, message.room]);
    assert.deepEqual(messages, [['alice', 'HEARTBEAT', undefined], ['alice', 'chat', [1]]]);
  });

  it('an app sends anything to a client', async () => {
    const { peers, base } = await start();
    peers.on('connection', (client) => client.send({ type: 'welcome', you: client.getId() }));
    const alice = await PeerSocket.open(base, { id: 'alice' });
    assert.deepEqual(await alice.frame('welcome'), { type: 'welcome', you: 'alice' });
  });

  it('an app answers a message', async () => {
    const { peers, base } = await start();
    peers.on('message', (client, { type, number }) => type === 'ask' && client.send({ type: 'reply', number }));
    const alice = await PeerSocket.open(base, { id: 'alice' });
    for (const number of [1, 2, 3]) alice.send({ type: 'ask', number });
    for (const number of [1, 2, 3]) assert.equal((await alice.frame('reply')).number, number);
  });

  it('an app closes the connection of a client', async () => {
    const { peers, base } = await start();
    const went = once(peers, 'disconnect');
    const [alice, client] = await connected(peers, PeerSocket.open(base, { id: 'alice' }));
    client.getSocket().close();
    await alice.end();
    assert.equal((await within('disconnect', went))[0].getId(), 'alice');
  });

  it('refused clients hear why, and the place of a client that has left is free', async () => {
    const { base } = await start({ key: 'mine', concurrent_limit: 1 });
    const alice = await PeerSocket.open(base, { id: 'alice', token: 'hers', key: 'mine' });
    const nothing = 'No id, token, or key supplied to websocket server';
    for (const [options, type, msg] of /** @type {any[][]} */ ([
      [{ id: null, token: null, key: null }, 'ERROR', nothing],
      [{ id: null, token: null, key: 'mine' }, 'ERROR', nothing],
      [{ id: null, key: 'mine' }, 'ERROR', nothing],
      [{ id: 'bob', token: null, key: 'mine' }, 'ERROR', nothing],
      [{ id: 'bob', key: 'theirs' }, 'ERROR', 'Invalid key provided'],
      [{ id: 'alice', token: 'other', key: 'mine' }, 'ID-TAKEN', 'ID is taken'],
      [{ id: 'bob', key: 'mine' }, 'ERROR', 'Server has reached its concurrent user limit'],
    ])) {
      const socket = new PeerSocket(base, options);
      assert.equal((await socket.frame(type)).payload.msg, msg, JSON.stringify(options));
      await socket.end();
    }
    await alice.close();
    await PeerSocket.open(base, { id: 'bob', key: 'mine' });
  });

  it('a message for an absent client waits, and expires', async () => {
    const { base } = await start({ expire_timeout: 500 });
    const alice = await PeerSocket.open(base, { id: 'alice' });
    alice.send({ type: 'OFFER', dst: 'nobody', payload: {} });
    assert.deepEqual(await alice.frame('EXPIRE'), { type: 'EXPIRE', src: 'nobody', dst: 'alice' });
  });

  it('a client that reconnects before its old connection has ended is a second connection, and no disconnect', async () => {
    const { peers, base } = await start();
    const [, first] = await connected(peers, PeerSocket.open(base, { id: 'alice', token: 't' }));
    const gone = [];
    peers.on('disconnect', (client) => gone.push(client.getId()));
    const again = once(peers, 'connection');
    const newer = new PeerSocket(base, { id: 'alice', token: 't' });
    const [second] = await within('the second connection', again);
    if (newer.socket.readyState === 0) await once(newer.socket, 'open');
    assert.equal(second, first);
    const closed = once(peers, 'disconnect');
    await newer.close();
    await within('disconnect', closed);
    assert.deepEqual(gone, ['alice']);
  });

  it('answers may be read by pages of any origin, or by those of the app’s choice', async () => {
    const origin = async (base, from) => {
      const { headers } = await fetch(`${base}peerjs/id`, { headers: { origin: from } });
      return headers.get('access-control-allow-origin');
    };
    const any = await start();
    assert.equal(await origin(any.base, 'https://one.example'), 'https://one.example');
    const some = await start({ corsOptions: { origin: ['https://one.example', /\.two\.example$/] } });
    assert.equal(await origin(some.base, 'https://one.example'), 'https://one.example');
    assert.equal(await origin(some.base, 'https://a.two.example'), 'https://a.two.example');
    assert.equal(await origin(some.base, 'https://three.example'), null);
    const fixed = await start({ corsOptions: { origin: 'https://one.example', credentials: true } });
    assert.equal(await origin(fixed.base, 'https://three.example'), 'https://one.example');
    const decided = await start({ corsOptions: { origin: (from, tell) => tell(null, from === 'https://one.example') } });
    assert.equal(await origin(decided.base, 'https://one.example'), 'https://one.example');
    assert.equal(await origin(decided.base, 'https://two.example'), null);
  });

  it('a preflight is answered', async () => {
    const { base } = await start();
    const headers = { origin: 'https://a.example', 'access-control-request-method': 'GET', 'access-control-request-headers': 'x-own' };
    const answer = await fetch(`${base}peerjs/id`, { method: 'OPTIONS', headers });
    assert.equal(answer.status, 204);
    assert.match(answer.headers.get('access-control-allow-methods'), /GET/);
    assert.equal(answer.headers.get('access-control-allow-headers'), 'x-own');
  });

  it('a taken port is an error event', async () => {
    const { server } = await start();
    const peers = PeerServer({ host: '127.0.0.1', port: server.address().port });
    const [error] = await within('error', once(peers, 'error'));
    assert.equal(error.code, 'EADDRINUSE');
  });

  it('a text that is no JSON is an error event, and its sender stays', async () => {
    const { peers, base } = await start();
    const heard = once(peers, 'error');
    const alice = await PeerSocket.open(base, { id: 'alice' });
    alice.send('{"type":');
    assert.ok((await within('error', heard))[0] instanceof Error);
    alice.send({ type: 'OFFER', dst: 'alice' });
    await alice.frame('OFFER');
  });

  it('an error of a listener for messages is an error event', async () => {
    const { peers, base } = await start();
    peers.on('message', () => {
      throw new Error('the app’s own');
    });
    const heard = once(peers, 'error');
    const alice = await PeerSocket.open(base, { id: 'alice' });
    alice.send({ type: 'HEARTBEAT' });
    assert.equal((await within('error', heard))[0].message, 'the app’s own');
  });

  it('HTTPS with the options of https.createServer', async () => {
    const { key, cert } = selfSigned();
    const ssl = { key: readFileSync(key), cert: readFileSync(cert) };
    const { base, server } = await start({ ssl });
    assert.ok(server instanceof https.Server);
    assert.match(base, /^https:/);
    const alice = await PeerSocket.open(base, { id: 'alice', rejectUnauthorized: false });
    alice.send({ type: 'OFFER', dst: 'alice' });
    await alice.frame('OFFER');
  });

  for (const [version, express] of [['4', express4], ['5', express5]]) {
    for (const [at, options] of [['/', {}], ['/peerjs', {}], ['/peerjs', { path: '/myapp' }], ['/a/b', { path: '/c/' }]]) {
      it(`Express ${version} mounts it at ${at} with ${JSON.stringify(options)}`, async () => {
        const { app, base, peers } = await mount(express, at, options);
        app.get('/later', (_, res) => res.send('the app'));
        assert.equal(typeof (await json(base)).name, 'string');
        assert.match(await text(`${base}peerjs/id`), /^[0-9a-f-]{36}$/);
        assert.equal(await text(new URL('/later', base)), 'the app');
        assert.equal((await fetch(`${base}nothing/of/it`)).status, 404);
        const [, client] = await connected(peers, PeerSocket.open(base, { id: 'alice' }));
        assert.equal(client.getId(), 'alice');
      });
    }
  }

  it('without a server, the app is told when it mounts it', () => {
    const peers = ExpressPeerServer(undefined);
    assert.throws(() => express5().use('/', peers), /server/i);
  });

  it('the case of a resource does not count, and HEAD is answered', async () => {
    const { base } = await start();
    const answer = await fetch(`${base}peerjs/id`, { method: 'HEAD' });
    assert.deepEqual([answer.status, await answer.text()], [200, '']);
    assert.equal((await fetch(`${base}peerjs/ID`)).status, 200);
  });

  it('it is an app of Express: what is added before it is mounted comes first, and the rest behind', async () => {
    const app = express5();
    const server = http.createServer(app);
    servers.push(server.listen(0, '127.0.0.1'));
    await once(server, 'listening');
    const peers = ExpressPeerServer(server, { path: '/signal', proxied: true });
    const seen = [];
    peers.use((req, res, next) => {
      seen.push([req.ip, req.protocol, req.path, req.baseUrl]);
      res.set('X-Own', 'yes');
      next();
    });
    app.use('/peers', peers);
    peers.get('/rooms', (_, res) => res.json(['kitchen']));
    const headers = { 'X-Forwarded-For': '203.0.113.9', 'X-Forwarded-Proto': 'https' };
    const { status, headers: answered } = await fetch(`${baseOf(server)}peers/signal/peerjs/id`, { headers });
    assert.deepEqual([status, answered.get('x-own')], [200, 'yes']);
    assert.deepEqual(seen, [['203.0.113.9', 'https', '/signal/peerjs/id', '/peers']]);
    assert.deepEqual(await json(`${baseOf(server)}peers/rooms`), ['kitchen']);
  });

  it('a page that is open is in the list of the app, with an open socket', async () => {
    const { peers, base } = await start();
    const members = new Set();
    peers.on('connection', (client) => client.getSocket().readyState === 1 && members.add(client.getId()));
    for (let number = 0; number < 20; number += 1) {
      const client = new PeerSocket(base, { id: `client-${number}` });
      const known = new Promise((resolve) => client.socket.once('message', () => resolve([...members])));
      assert.ok((await within('OPEN', known)).includes(`client-${number}`));
    }
  });

  it('getLastPing is the time of a heartbeat', async () => {
    const { peers, base } = await start();
    const heard = once(peers, 'message');
    const [alice, client] = await connected(peers, PeerSocket.open(base, { id: 'alice' }));
    const before = client.getLastPing();
    assert.ok(Math.abs(Date.now() - before) < 60_000);
    // The clock has milliseconds.
    while (Date.now() <= before) await new Promise(setImmediate);
    alice.send({ type: 'HEARTBEAT' });
    await within('the heartbeat', heard);
    // `peer` notes it behind its event.
    await new Promise(setImmediate);
    assert.ok(client.getLastPing() > before);
    client.setLastPing(5);
    assert.equal(client.getLastPing(), 5);
  });

  for (const kind of ['a server for its path', 'noServer']) {
    it(`createWebSocketServer with ${kind}`, async () => {
      let sockets;
      let given;
      const createWebSocketServer = (options) => {
        given = options;
        sockets = new WebSocketServer(kind === 'noServer' ? { noServer: true } : options);
        return sockets;
      };
      const { server, peers, base } = await mount(express5, '/peers', { createWebSocketServer });
      if (kind === 'noServer') {
        server.on('upgrade', (req, socket, head) => {
          assert.equal(new URL(req.url, 'http://x').pathname, '/peers/peerjs');
          sockets.handleUpgrade(req, socket, head, (one) => sockets.emit('connection', one, req));
        });
      }
      const [alice, client] = await connected(peers, PeerSocket.open(base, { id: 'alice' }));
      assert.deepEqual([given.path, given.server], ['/peers/peerjs', server]);
      alice.send({ type: 'OFFER', dst: 'alice', payload: 'ü' });
      assert.equal((await alice.frame('OFFER')).payload, 'ü');
      client.send({ type: 'hello' });
      await alice.frame('hello');
      const went = once(peers, 'disconnect');
      await alice.close();
      await within('disconnect', went);
    });
  }
}

/** Resolves with the client on both sides. */
async function connected(peers, opening) {
  const came = once(peers, 'connection');
  const socket = await opening;
  return [socket, (await within('connection', came))[0]];
}

function collect(peers, event, count) {
  const seen = [];
  const all = new Promise((done) => {
    peers.on(event, (...args) => {
      seen.push(args);
      if (seen.length === count) done(seen);
    });
  });
  return within(() => `${count} of ${event}, not ${seen.length}`, all);
}

export function baseOf(server, path = '/') {
  const scheme = server instanceof https.Server ? 'https' : 'http';
  return `${scheme}://127.0.0.1:${server.address().port}${`/${path}/`.replace(/\/+/g, '/')}`;
}

export async function text(url) {
  const answer = await fetch(url);
  assert.equal(answer.status, 200, String(url));
  return answer.text();
}

async function json(url) {
  return JSON.parse(await text(url));
}

/** Ends a server whose connections are closed. */
export function endServer(server) {
  const ended = once(server, 'close');
  server.close();
  server.closeAllConnections();
  return within('the end of a server', ended);
}
