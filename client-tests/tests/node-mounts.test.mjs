// Where apps of Node mount peerbroker, and what they add to it: it is an app of Express.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import connect from 'connect';
import express5 from 'express';
import express4 from 'express4';
import { WebSocket, WebSocketServer } from 'ws';
import ws7 from 'ws7';
import { baseOf, text } from '../lib/node-api.mjs';
import { handshake, it, listen, reaches, serverOf, servers } from '../lib/node-app.mjs';
import { loadPackage } from '../lib/npm-package.mjs';
import { PeerSocket } from '../lib/peer-socket.mjs';
import { within } from '../lib/within.mjs';

const { ExpressPeerServer, PeerServer } = loadPackage();

/** Data that WebRTC cannot carry goes from one end to the other. */
async function carries(base) {
  const [pipe, ...ends] = Array.from({ length: 3 }, () => randomBytes(16).toString('base64url'));
  const sockets = ends.map((end) => new WebSocket(`${base.replace(/^http/, 'ws')}pipe/${pipe}?key=peerjs&end=${end}`));
  const [one, other] = sockets;
  const opened = await within('both ends', Promise.all(sockets.map((socket) => once(socket, 'message'))));
  assert.deepEqual(opened.map(([text]) => JSON.parse(text)), [{ type: 'OPEN', turn: 1 }, { type: 'OPEN', turn: 1 }]);
  const bytes = randomBytes(65_536);
  one.send(bytes);
  const [heard] = await within('the bytes', once(other, 'message'));
  assert.ok(bytes.equals(heard));
  const closed = once(other, 'close');
  one.close(1000);
  assert.equal((await within('the end', closed))[0], 4011);
}

/** What a server answers to these bytes, until it closes the connection. */
async function answerTo(server, bytes) {
  const socket = net.connect(server.address().port, '127.0.0.1');
  let answer = '';
  socket.on('data', (more) => (answer += more));
  socket.write(bytes);
  await within('the answer', once(socket, 'close'));
  return answer;
}

for (const [version, express] of [['4', express4], ['5', express5]]) {
  for (const order of ['before', 'after']) {
    it(`mounted ${order} listen: Express ${version}, a router, an app of a router, a pattern and a list of paths`, async () => {
      const { app, server } = serverOf(express);
      const base = () => baseOf(server);
      const mount = () => {
        const routers = [express.Router(), express.Router({ mergeParams: true }), express.Router()];
        const inner = express();
        routers[0].use('/deep', ExpressPeerServer(server, { path: '/er' }));
        inner.use('/inner', ExpressPeerServer(server));
        routers[1].use('/app', inner);
        routers[2].use('/:room', ExpressPeerServer(server));
        app.use('/router', routers[0]);
        app.use('/of', routers[1]);
        app.use('/rooms', routers[2]);
        app.use('/tenants/:tenant', ExpressPeerServer(server));
        app.use(['/one', '/two'], ExpressPeerServer(server));
        app.use(/^\/exp[r]ession/, ExpressPeerServer(server));
      };
      if (order === 'before') mount();
      await listen(server);
      if (order === 'after') mount();
      const paths = ['router/deep/er', 'of/app/inner', 'rooms/7', 'tenants/acme', 'one', 'two', 'expression'];
      for (const path of paths) {
        await reaches(`${base()}${path}/`, path.replaceAll('/', '-'));
        await carries(`${base()}${path}/`);
      }
      for (const socket of ['peerjs?key=peerjs&id=a&token=t', `pipe/${'A'.repeat(22)}?key=peerjs&end=${'A'.repeat(22)}`]) {
        assert.match(await handshake(`${base()}router/deep/${socket}`), /404/);
      }
    });
  }

  it(`Express ${version}: the scripts of clients are below the mount, for pages of every origin`, async () => {
    const { app, server } = serverOf(express);
    const router = express.Router();
    router.use('/deep', ExpressPeerServer(server, { path: '/er', key: 'mine' }));
    app.use('/peers', router);
    app.get('/peerjs.js', (_, res) => res.send('the app’s own'));
    await listen(server);
    const fetched = (name) => fetch(`${baseOf(server)}${name}`, { headers: { origin: 'https://page.test' } });
    for (const [name, content] of [
      ['peerjs.js', '"key":"mine"'],
      ['peerjs.min.js', 'presetPeer('],
      ['peerjs.mjs', 'export '],
      ['peerjs.d.ts', 'autoReconnect'],
      ['peerjs-1.5.5.min.js', 'peerjs'],
      ['rooms.js', 'Object.assign(window, rooms)'],
      ['rooms.mjs', ' as joinRoom};'],
      ['rooms.d.ts', 'export declare function joinRoom'],
      ['webrtc.js', 'dataset:{key:"mine",'],
      ['webrtc.mjs', 'as install}'],
    ]) {
      const answer = await fetched(`peers/deep/er/${name}`);
      assert.equal(answer.status, 200, name);
      assert.deepEqual(
        ['access-control-allow-origin', 'cross-origin-resource-policy'].map((header) => answer.headers.get(header)),
        ['https://page.test', 'cross-origin'],
      );
      assert.match(answer.headers.get('content-type'), name.endsWith('.ts') ? /^text\/plain/ : /^text\/javascript/);
      assert.ok((await answer.text()).includes(content), name);
    }
    for (const name of ['peers/deep/peerjs.js', 'peers/deep/er/other.js', 'peers/deep/er/broker/']) assert.equal((await fetched(name)).status, 404, name);
    assert.equal(await text(`${baseOf(server)}peerjs.js`), 'the app’s own');
  });

  it(`Express ${version}: made-up tenants do not close the next one’s, and tenants share the ids`, async () => {
    const { app, server } = serverOf(express);
    app.use('/:tenant', ExpressPeerServer(server));
    await listen(server);
    for (let made = 0; made < 150; made += 1) await text(`${baseOf(server)}made-up-${made}/peerjs/id`);
    await reaches(baseOf(server, '/acme'));
  });

  it(`Express ${version}: handlers in front of a router see upgrades that come to it, and may refuse them`, async () => {
    const { app, server } = serverOf(express);
    const router = express.Router();
    router.use((req, res, next) => (req.query.token === 'good' ? next() : res.status(403).send('no')));
    router.use('/peerjs', ExpressPeerServer(server));
    app.use('/private', router);
    await listen(server);
    const base = baseOf(server, '/private/peerjs');
    await PeerSocket.open(base, { id: 'a', token: 'good' });
    assert.match(await handshake(`${base}peerjs?key=peerjs&id=b&token=bad`), /403/);
    assert.match(await answerTo(server, 'GET /private/peerjs/peerjs HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'), /^HTTP\/1.1 403 [^]*no$/);
  });
}

it('PeerServer is an app of Express too', async () => {
  const peers = PeerServer({ port: 0, host: '127.0.0.1', proxied: true }, (server) => servers.push(server));
  peers.get('/hello/:name', (req, res) => res.send(`${req.params.name} from ${req.ip}`));
  while (servers.length === 0) await new Promise(setImmediate);
  const answer = await fetch(`${baseOf(servers[0])}hello/bob`, { headers: { 'X-Forwarded-For': '203.0.113.9' } });
  assert.equal(await answer.text(), 'bob from 203.0.113.9');
});

it('the trust in proxies is that of the app, and its limit per address counts clients', async () => {
  process.env.PEERBROKER_CONNECTIONS_PER_ADDRESS = '1';
  const app = express5();
  app.set('trust proxy', 'loopback');
  const server = http.createServer(app);
  app.use('/peerjs', ExpressPeerServer(server));
  delete process.env.PEERBROKER_CONNECTIONS_PER_ADDRESS;
  await listen(server);
  const open = (id, address) => PeerSocket.open(baseOf(server, '/peerjs'), { id, headers: { 'X-Forwarded-For': address } });
  await open('a', '203.0.113.9:51515');
  await open('b', '[2001:db8::1]:443');
  await assert.rejects(open('c', '203.0.113.9:51516'), /429/);
});

it('an app at a Unix socket behind a proxy', async () => {
  const path = join(tmpdir(), `peerbroker-${process.pid}.sock`);
  process.env.PEERBROKER_CONNECTIONS_PER_ADDRESS = '1';
  const { app, server } = serverOf(express5);
  app.use('/', ExpressPeerServer(server, { proxied: 'loopback' }));
  delete process.env.PEERBROKER_CONNECTIONS_PER_ADDRESS;
  await listen(server, [path]);
  const open = async (id, address) => {
    const socket = new WebSocket(`ws+unix:${path}:/peerjs?key=peerjs&id=${id}&token=t`, { headers: address ? { 'X-Forwarded-For': address } : {} });
    const [frame] = await within('OPEN', once(socket, 'message'));
    assert.equal(JSON.parse(String(frame)).type, 'OPEN');
  };
  await open('a', '203.0.113.9');
  await assert.rejects(open('b', '203.0.113.9'), /429/);
  // Programs of this machine have no limit.
  await open('c');
  await open('d');
  rmSync(path, { force: true });
});

it('Connect mounts it', async () => {
  const { app, server } = serverOf(connect);
  const peers = ExpressPeerServer(server, { path: '/signal' });
  app.use('/peers', peers);
  app.use('/plain', (_, res) => res.end('plain'));
  await listen(server);
  assert.match(await text(`${baseOf(server)}peers/signal/peerjs/id`), /^[0-9a-f-]{36}$/);
  assert.equal(await text(`${baseOf(server)}plain`), 'plain');
  assert.equal((await fetch(`${baseOf(server)}peers/nothing`)).status, 404);
  await reaches(baseOf(server, '/peers/signal'));
  // Connect has set a property of this name, which is a method of Express.
  peers.route('/late').get((_, res) => res.send('late'));
  assert.equal(await text(`${baseOf(server)}peers/late`), 'late');
});

for (const [library, Server] of [['ws 8', WebSocketServer], ['ws 7', ws7.Server]]) {
  it(`a server of ${library} below a router`, async () => {
    const { app, server } = serverOf(express5);
    const router = express5.Router();
    const given = [];
    const createWebSocketServer = (options) => {
      given.push(options);
      return new Server(options);
    };
    const peers = ExpressPeerServer(server, { createWebSocketServer });
    router.use('/:room', peers);
    app.use('/rooms', router);
    await listen(server);
    const came = once(peers, 'connection');
    const [alice] = await reaches(baseOf(server, '/rooms/one'));
    await reaches(baseOf(server, '/rooms/two'), 'two');
    const [client] = await within('connection', came);
    assert.ok(Date.now() - client.getLastPing() < 60_000);
    assert.equal(given.length, 1);
    assert.equal(await alice.close(), 1005);
    // Data that WebRTC cannot carry does not come to the app's server.
    app.use('/known', ExpressPeerServer(server, { createWebSocketServer }));
    for (const path of ['/rooms/one', '/known']) await carries(baseOf(server, path));
  });
}

it('an upgrade that nobody wants is answered as if it were none, with its body, and behind earlier requests', async () => {
  const { app, server } = serverOf(express5);
  app.use('/peerjs', ExpressPeerServer(server));
  app.use(express5.json());
  app.get('/page', (req, res) => setImmediate(() => res.send(`page for ${req.headers.upgrade}`)));
  app.post('/form', (req, res) => setImmediate(() => res.json({ got: req.body })));
  await listen(server);
  const h2c = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n';
  const body = JSON.stringify({ text: 'x'.repeat(100_000) });
  const get = 'GET /page HTTP/1.1\r\nHost: x\r\n';
  const post = `POST /form HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n${h2c}\r\n${body}`;
  assert.match(await answerTo(server, `${get}${h2c}\r\n`), /^HTTP\/1.1 200 [^]*page for undefined$/);
  const answer = await answerTo(server, `${get}\r\n${get}\r\n${post}`);
  assert.equal(answer.match(/HTTP\/1.1 200/g)?.length, 3, answer.slice(0, 1000));
  assert.ok(answer.endsWith(`${'x'.repeat(100_000)}"}}`));
  // A WebSocket that nobody wants is a request, too.
  assert.match(await handshake(`${baseOf(server)}nothing`), /404/);
  assert.match(await handshake(`${baseOf(server)}page`), /200/);
});

it('an upgrade that another listener wants is left to it, below the path of a broker too', async () => {
  const { app, server } = serverOf(express5);
  const router = express5.Router();
  router.use(ExpressPeerServer(server));
  app.use('/peers', router);
  const seen = [];
  server.on('upgrade', (req, socket) => {
    seen.push(req.url);
    socket.end('HTTP/1.1 418 Mine\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  });
  await listen(server);
  const upgrade = (path, protocol) => answerTo(server, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`);
  for (const [path, protocol] of [['/own', 'h2c'], ['/own', 'websocket'], ['/game/peerjs', 'websocket']]) {
    assert.match(await upgrade(path, protocol), /418 Mine/);
  }
  assert.deepEqual(seen, ['/own', '/own', '/game/peerjs']);
  await reaches(baseOf(server, '/peers'));
});
