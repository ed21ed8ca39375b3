// Mistakes of clients and of the app reach the console of an app of Node, each once.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { gzipSync } from 'node:zlib';
import connect from 'connect';
import express from 'express';
import { WebSocket } from 'ws';
import { baseOf, endServer } from '../lib/node-api.mjs';
import { it, listen, serverOf, servers } from '../lib/node-app.mjs';
import { loadPackage } from '../lib/npm-package.mjs';
import { until } from '../lib/within.mjs';

const { ExpressPeerServer, PeerServer } = loadPackage();
const warnings = [];
process.on('warning', ({ message }) => warnings.push(message));

/** An app with the broker at /peerjs. */
async function start(options) {
  const { app, server } = serverOf(express);
  await listen(server);
  app.use('/peerjs', ExpressPeerServer(server, options));
  return baseOf(server);
}

const heard = (shape) => until(`${shape} among ${warnings}`, () => warnings.some((text) => shape.test(text)));
const count = (shape) => warnings.filter((text) => shape.test(text)).length;

/** PeerJS asks for an id, with its version. */
const askForId = (base, path) => fetch(`${base}${path}/id?ts=1&version=1.5.5`, { headers: { Origin: 'http://page.test' } });

async function handshake(base, path) {
  const socket = new WebSocket(`${base.replace('http', 'ws')}${path}`);
  socket.on('error', () => {});
  await new Promise((closed) => { socket.on('close', closed); });
  socket.terminate();
}

it('a wrong key is told with the right one, by HTTP and by a WebSocket', async () => {
  const base = await start({ key: 'mine' });
  const byHttp = /^a client asked for the key "other" \(from 127\.0\.0\.1, a page of "http:\/\/page\.test"\): the key here is "mine"$/;
  for (let times = 0; times < 3; times += 1) assert.equal((await askForId(base, 'peerjs/other')).status, 401);
  await heard(byHttp);
  assert.equal(count(/asked for the key "other"/), 1);

  await handshake(base, 'peerjs/peerjs?key=another&id=a&token=t');
  await heard(/^a client asked for the key "another" \(id "a", from 127\.0\.0\.1\): the key here is "mine"/);
});

it('what the program notes of a client is a warning', async () => {
  const base = await start({});
  await handshake(base, 'peerjs/peerjs?key=peerjs&id=a');
  await heard(/^a client was refused: No id, token, or key supplied to websocket server/);
});

it('a message in vain is a warning, unless the app listens to messages', async () => {
  const send = async (base, ...texts) => {
    const socket = new WebSocket(`${base.replace('http', 'ws')}peerjs/peerjs?key=peerjs&id=a&token=t`);
    await once(socket, 'message');
    for (const text of texts) socket.send(text);
    return socket;
  };
  const told = (type) => new RegExp(`^a client sent the type "${type}" at …/peerjs, which does nothing \\(id "a", from 127\\.0\\.0\\.1\\): `);
  const listening = express();
  const server = http.createServer(listening);
  await listen(server);
  const peers = ExpressPeerServer(server);
  const messages = [];
  peers.on('message', (_, { type }) => messages.push(type));
  listening.use('/peerjs', peers);
  const one = await send(baseOf(server), '{"type":"OWN"}');
  await until(() => `a message among ${messages}`, () => messages.includes('OWN'));
  // Its log comes before the end of the program.
  one.terminate();
  await endServer(server);

  const other = await send(await start({}), '{"type":"FOREIGN"}');
  await heard(told('FOREIGN'));
  other.terminate();
  assert.equal(count(told('OWN')), 0);
});

it('a client at another path is told where the broker is', async () => {
  const base = await start({ path: '/myapp' });
  assert.equal((await askForId(base, 'elsewhere/peerjs')).status, 404);
  await heard(/^a client asked for "\/elsewhere\/peerjs\/id", which is not here \(from 127\.0\.0\.1, a page of "http:\/\/page\.test"\): peerbroker is at "\/peerjs\/myapp\/": pass path: "\/peerjs\/myapp\/" to Peer$/);
  await handshake(base, 'lost/peerjs?key=peerjs&id=a&token=t');
  await heard(/^a client asked for "\/lost\/peerjs", which is not here \(from 127\.0\.0\.1\): peerbroker is at "\/peerjs\/myapp\/"/);
});

it('a client at a path where a router has no broker is told that the path of the router counts', async () => {
  const { app, server } = serverOf(express);
  await listen(server);
  app.use('/api', express.Router().use('/peers', ExpressPeerServer(server)));
  assert.equal((await askForId(baseOf(server), 'peers/peerjs')).status, 404);
  await heard(/^a client asked for "\/peers\/peerjs\/id", which is not here .*Below a router, the path of that counts too, as in \/api\/peerjs$/);
});

it('a misspelt option is told with the right one', async () => {
  await start({ alow_discovery: true, concurrentLimit: 5, whatever: 1 });
  await heard(/^the option alow_discovery of ExpressPeerServer is ignored: did you mean allow_discovery\?$/);
  await heard(/^the option concurrentLimit of ExpressPeerServer is ignored: did you mean concurrent_limit\?$/);
  await heard(/^the option whatever of ExpressPeerServer is ignored: there are host, port, path, key, .*, and variables, as in PEERBROKER_RELAY=all$/);
});

it('an error of generateClientId is a warning, and the client gets a text that names it', async () => {
  const makers = [() => { throw new Error('no user'); }, () => undefined, async () => 7, () => ''];
  for (const generateClientId of makers) {
    const base = await start({ generateClientId });
    const answer = await askForId(base, 'peerjs/peerjs');
    assert.deepEqual([answer.status, await answer.text()], [500, 'generateClientId has failed: the console of the app says why']);
  }
  await heard(/^no user$/);
  for (const got of ['undefined', '7', "''"]) await heard(new RegExp(`^generateClientId returned ${got}: it has to return a string, or a promise of one$`));
});

it('a listener for errors hears of generateClientId instead', async () => {
  const { app, server } = serverOf(express);
  await listen(server);
  const peers = ExpressPeerServer(server, { generateClientId: () => { throw new Error('for the listener'); } });
  const failed = once(peers, 'error');
  app.use('/peerjs', peers);
  assert.equal((await askForId(baseOf(server), 'peerjs/peerjs')).status, 500);
  assert.equal((await failed)[0].message, 'for the listener');
  assert.equal(count(/for the listener/), 0);
});

it('a time in seconds is told to be in milliseconds', async () => {
  await start({ alive_timeout: 60, expire_timeout: 5 });
  await heard(/^alive_timeout is in milliseconds \(it is 60\): 60 seconds are 60000$/);
  await heard(/^expire_timeout is in milliseconds \(it is 5\): 5 seconds are 5000$/);
});

it('a misspelt event is told with the right one, and other events are those of the app', async () => {
  const server = http.createServer();
  await listen(server);
  const peers = ExpressPeerServer(server);
  for (const name of ['connect', 'disconnected', 'connection', 'error', 'mount', 'ready', Symbol('own')]) peers.on(name, () => {});
  await heard(/^ExpressPeerServer has no event "connect": did you mean "connection"\?$/);
  await heard(/^ExpressPeerServer has no event "disconnected": did you mean "disconnect"\?$/);
  assert.equal(count(/has no event/), 2);
});

it('PeerServer in app.use is told to be ExpressPeerServer', async () => {
  const app = express();
  const own = new Promise((resolve) => {
    app.use('/peerjs', PeerServer({ port: 0, host: '127.0.0.1', server: {} }, resolve));
  });
  servers.push(await own);
  const remedy = 'for the server of your app, write app\\.use\\(path, ExpressPeerServer\\(server\\)\\)$';
  await heard(new RegExp(`^an app has mounted PeerServer, which has a server of its own, at port 0: ${remedy}`));
  await heard(new RegExp(`^the option server of ExpressPeerServer is ignored: ${remedy}`));
});

it('a function that is mounted without a call answers, and tells how to call it', async () => {
  for (const [name, handler] of /** @type {[string, any][]} */ ([['ExpressPeerServer', ExpressPeerServer], ['PeerServer', PeerServer]])) {
    const told = `app.use got ${name} itself, not the app that it returns: write app.use(path, ExpressPeerServer(server))`;
    const app = express();
    app.use('/peerjs', handler);
    // Express passes errors here.
    app.use((error, _, res, next) => (res.headersSent ? next(error) : res.status(500).send(error.message)));
    for (const listener of [app, handler]) {
      const server = http.createServer(listener);
      await listen(server);
      const answer = await askForId(baseOf(server), 'peerjs/peerjs');
      assert.deepEqual([answer.status, await answer.text()], [500, told]);
    }
    await until(told, () => warnings.includes(told));
  }
});

it('a path in place of a certificate is told', () => {
  const message = 'ssl.key is the text of a file, not its path: key: fs.readFileSync("./lan.key")';
  assert.throws(() => PeerServer({ port: 0, ssl: { key: './lan.key', cert: './lan.pem' } }), { message });
});

const askForPage = (base, path) => fetch(`${base}${path}/id?ts=1.5&version=1.5.5`, { redirect: 'manual' });

it('a handler before the mount that answers PeerJS is told, and one that refuses is none', async () => {
  /** @type {[string, (req: any, res: any, next: any) => any][]} */
  const handlers = [
    ['with status 200', (_, res) => res.send('\n<!doctype html><div id=root></div>')],
    ['with status 200', (_, res) => res.set('Content-Encoding', 'gzip').end(gzipSync('<!doctype html>'))],
    ['with status 302', (_, res) => res.redirect('/login')],
    ['with status 404', (_, res) => res.status(404).json({ error: 'not found' })],
    ['', (_, res) => res.status(401).send('<p>no')],
    ['', (_, res) => res.send('an-id-of-another-broker')],
    ['', (_, __, next) => next()],
  ];
  for (const [number, [told, handler]] of handlers.entries()) {
    const { app, server } = serverOf(express);
    await listen(server);
    app.use(handler);
    app.use(`/mount${number}`, ExpressPeerServer(server));
    await (await askForPage(baseOf(server), `mount${number}/peerjs`)).text();
    const remedy = 'call app\\.use\\(path, ExpressPeerServer\\(server\\)\\) before you add that handler$';
    if (told) await heard(new RegExp(`^a handler of the app answers "/mount${number}/peerjs/id" before peerbroker \\(${told}, from 127\\.0\\.0\\.1\\): ${remedy}`));
    assert.equal(count(new RegExp(`"/mount${number}/`)), told ? 1 : 0, String(handler));
  }
});

it('a page that answers at a wrong path is told, and so is a WebSocket that nobody answers', async () => {
  const { app, server } = serverOf(express);
  await listen(server);
  app.use('/mine', ExpressPeerServer(server));
  app.use((_, res) => res.send('<!doctype html>'));
  const upgraded = new Promise((resolve) => {
    // As Vite's, for its own clients only.
    server.on('upgrade', (_, socket) => resolve(socket));
  });
  await (await askForPage(baseOf(server), 'mine')).text();
  await heard(/^a client asked for "\/mine\/id", which is not here \(from 127\.0\.0\.1\): peerbroker is at "\/mine\/"/);
  const socket = new WebSocket(`${baseOf(server).replace('http', 'ws')}theirs/peerjs?key=peerjs&id=a&token=t`);
  socket.on('error', () => {});
  const left = await upgraded;
  assert.equal(count(/"\/theirs\/peerjs"/), 0);
  // Otherwise 5 s pass.
  left.destroy();
  await heard(/^a client asked for "\/theirs\/peerjs", which is not here \(from 127\.0\.0\.1\): peerbroker is at "\/mine\/"/);
});

it('clients that come by another server are told', async () => {
  const app = express();
  app.use('/peerjs', ExpressPeerServer(http.createServer(app)));
  const other = app.listen(0, '127.0.0.1');
  servers.push(other);
  await once(other, 'listening');
  await askForId(baseOf(other), 'peerjs/other');
  await heard(/^clients come by another server than the one that ExpressPeerServer got, .*: call server\.listen, not app\.listen$/);
});

it('without a server, as in middleware mode of Vite, mounting throws', () => {
  const message = 'ExpressPeerServer got no server: give it the http.Server of your app, which app.listen returns';
  for (const app of /** @type {any[]} */ ([express(), connect()])) assert.throws(() => app.use('/peerjs', ExpressPeerServer(null)), { message });
});
