// The life of the program in an app of Node: it is started again when it dies, and is gone with the app. And the memory of the app.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { peakOf } from '../lib/memory.mjs';
import { baseOf, endServer, text } from '../lib/node-api.mjs';
import { installPackage, loadPackage } from '../lib/npm-package.mjs';
import { endSockets, PeerSocket } from '../lib/peer-socket.mjs';
import { killAll, Run } from '../lib/run.mjs';
import { binary, plainEnvironment } from '../lib/server.mjs';
import { isThorough } from '../lib/thorough.mjs';
import { LIMIT, until, within } from '../lib/within.mjs';

const it = (behaviour, run, options = {}) => test(behaviour, { timeout: LIMIT, ...options }, run);
const folder = installPackage();

afterEach(() => {
  endSockets();
  killAll();
});

/** The processes of the program that this one has started. */
function programsOf(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  const children = threads.flatMap((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim().split(' '));
  return children.filter((child) => child && isProgram(child)).map(Number);
}

function isProgram(pid) {
  try {
    return readlinkSync(`/proc/${pid}/exe`) === binary;
  } catch {
    return false;
  }
}

/** The loopback port at which a process listens. */
function portOf(pid) {
  const links = readdirSync(`/proc/${pid}/fd`).map((file) => readlinkSync(`/proc/${pid}/fd/${file}`));
  const rows = readFileSync(`/proc/${pid}/net/tcp`, 'utf8').split('\n').map((row) => row.trim().split(/\s+/));
  // 0A is a socket that listens.
  const [, address] = rows.find(([, , , state, , , , , , inode]) => state === '0A' && links.includes(`socket:[${inode}]`));
  return parseInt(address.split(':')[1], 16);
}

/** Waits for the kernel, which tells nobody of the end of a process that is no child. */
const gone = (pid) => until(`the end of process ${pid}`, () => !isProgram(pid));

/** An app in a process of its own, which prints its port. */
async function startApp(code, environment = {}) {
  const file = join(folder, 'app.js');
  writeFileSync(file, `
    const http = require('node:http');
    const { ExpressPeerServer, PeerServer } = require('peerbroker');
    ${code}
  `);
  const app = new Run(process.execPath, [file], { cwd: folder, env: { ...plainEnvironment(), ...environment }, stdin: 'pipe' });
  const [, port] = await app.line(/^port (\d+)$/);
  return { app, base: `http://127.0.0.1:${port}/` };
}

const BARE = `
  const server = http.createServer();
  const peers = ExpressPeerServer(server);
  server.on('request', peers);
  server.listen(0, '127.0.0.1', () => console.log('port ' + server.address().port));
`;

it('the app alone tells the program the addresses of clients: other users of the machine cannot', async () => {
  const { app, base } = await startApp(`process.env.PEERBROKER_CONNECTIONS_PER_ADDRESS = '1'; ${BARE.replace('(server)', '(server, { proxied: true })')}`);
  const open = (at, id) => PeerSocket.open(at, { id, headers: { 'X-Forwarded-For': '192.0.2.1', 'X-Proxy-Secret': '0'.repeat(64) } });
  await open(base, 'alice');
  await assert.rejects(open(base, 'bob'), /429/);
  const [program] = programsOf(app.pid);
  // Connections of loopback itself have no limit.
  for (const id of ['carol', 'dave']) await open(`http://127.0.0.1:${portOf(program)}/`, id);
});

it('a program that dies is started again: the app gets an error, and clients that come back are new ones', async () => {
  const { ExpressPeerServer } = loadPackage();
  const server = http.createServer();
  const peers = ExpressPeerServer(server);
  server.on('request', peers);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const base = baseOf(server);
  try {
    for (let time = 0; time < 3; time += 1) {
      const heard = Promise.all(['connection', 'disconnect', 'error'].map((event) => once(peers, event).catch((error) => [error])));
      peers.once('error', () => {});
      const alice = await PeerSocket.open(base, { id: 'alice' });
      const [program] = programsOf(process.pid);
      process.kill(program, 'SIGKILL');
      await alice.end();
      const [[came], [went], [error]] = await within('the events', heard);
      assert.equal(came, went);
      assert.match(error.message, /^peerbroker was ended by SIGKILL; it is started again in \d+ ms$/);
      // A request waits until it serves.
      assert.match(await text(`${base}peerjs/id`), /^[0-9a-f-]{36}$/);
      assert.notDeepEqual(programsOf(process.pid), [program]);
    }
  } finally {
    await endServer(server);
  }
});

it('it starts where pipes have no unref, as in Bun', async () => {
  const { base } = await startApp(`delete require('node:net').Socket.prototype.unref; ${BARE}`);
  assert.match(await text(`${base}peerjs/id`), /^[0-9a-f-]{36}$/);
});

it('without a listener for errors, a warning tells that the program has died', async () => {
  const { app, base } = await startApp(BARE);
  await text(`${base}peerjs/id`);
  process.kill(programsOf(app.pid)[0], 'SIGKILL');
  await text(`${base}peerjs/id`);
  app.kill();
  await app.end();
  assert.match(app.errors.join('\n'), /Warning: peerbroker was ended by SIGKILL; it is started again in \d+ ms/);
});

for (const signal of ['SIGTERM', 'SIGKILL']) {
  it(`the program ends when the app is ended by ${signal}`, async () => {
    const { app, base } = await startApp(BARE);
    const alice = await PeerSocket.open(base, { id: 'alice' });
    const [program] = programsOf(app.pid);
    assert.ok(program);
    app.signal(signal);
    await Promise.all([app.end(), alice.end(), gone(program)]);
  });
}

it('an app ends by itself after server.close(), whatever its clients do', async () => {
  const { app, base } = await startApp(`${BARE}
    process.stdin.once('data', () => {
      process.stdin.destroy();
      server.close(() => console.log('closed'));
    });
  `);
  const alice = await PeerSocket.open(base, { id: 'alice' });
  app.type('close\n');
  await app.line(/^closed$/);
  assert.equal(await alice.end(), 1001);
  assert.deepEqual(await app.end(), { code: 0, signal: null });
});

it('an app whose server never listens ends by itself', async () => {
  const { app } = await startApp(`
    ExpressPeerServer(http.createServer()).on('connection', () => {}).on('message', () => {});
    console.log('port 0');
  `);
  assert.deepEqual(await app.end(), { code: 0, signal: null });
});

for (const [how, listen] of Object.entries({
  PeerServer: (port) => `PeerServer({ port: ${port}, host: '127.0.0.1' })`,
  ExpressPeerServer: (port) => `const server = http.createServer(); ExpressPeerServer(server); server.listen(${port}, '127.0.0.1')`,
})) {
  it(`a taken port of ${how} without a listener ends the app, and says what to do`, async () => {
    const taken = http.createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = /** @type {any} */ (taken.address());
    const { app } = await startApp(`
      console.log('port 0');
      ${listen(port)};
    `);
    assert.equal((await app.end()).code, 1);
    const said = app.errors.join('\n');
    assert.match(said, /EADDRINUSE/);
    assert.ok(said.includes(`Error: port ${port} is in use: stop the program that listens there, or pass another port to PeerServer or listen()`), said);
    await endServer(taken);
  });
}

for (const [how, handler] of [
  ['its error event', "peers.on('error', told)"],
  ['uncaughtException', "process.on('uncaughtException', told)"],
]) {
  it(`an app that handles a taken port with ${how} goes on, as with peer`, async () => {
    const taken = http.createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = /** @type {any} */ (taken.address());
    const { app } = await startApp(`
      console.log('port 0');
      const peers = PeerServer({ port: ${port}, host: '127.0.0.1' });
      // The timer fires only if something else keeps the app.
      const told = ({ code }) => setTimeout(() => console.log('goes on after ' + code), 100).unref();
      ${handler};
    `);
    await app.line(/^goes on after EADDRINUSE$/);
    app.kill();
    await app.end();
    await endServer(taken);
  });
}

it('one of several workers warns that their peers do not meet', async () => {
  const workers = `
    const cluster = require('node:cluster');
    if (cluster.isPrimary) {
      let listening = 0;
      cluster.on('listening', () => (listening += 1) === Number(process.env.WORKERS) && console.log('port 0'));
      for (let worker = 0; worker < Number(process.env.WORKERS); worker += 1) cluster.fork();
    } else {
      ${BARE.replace("console.log('port ' + server.address().port)", '{}')}
    }
  `;
  const warnings = async (code, environment) => {
    const { app } = await startApp(code, environment);
    app.kill();
    await app.end();
    return app.errors.filter((line) => /PEERBROKER_WORKERS.*peers of different workers do not meet: run one process, or set PEERBROKER_REDIS/.test(line)).length;
  };
  assert.equal(await warnings(workers, { WORKERS: '3' }), 1);
  assert.equal(await warnings(workers, { WORKERS: '1' }), 0);
  assert.equal(await warnings(workers, { WORKERS: '2', PEERBROKER_REDIS: 'redis://127.0.0.1:1' }), 0);
  // As pm2 sets it, for workers of `cluster` and for processes.
  assert.equal(await warnings(BARE, { NODE_APP_INSTANCE: '0' }), 0);
  assert.equal(await warnings(BARE, { NODE_APP_INSTANCE: '1' }), 1);
});

// Bytes of a message, and the number of messages of a client that the program reads at once, see --messages_per_second.
const LARGE = 400_000;
const BURST = 10;

// The app has more to do for messages with createWebSocketServer, and both ways share what slows a sender down.
for (const createsServer of isThorough ? [false, true] : [true]) {
  const how = createsServer ? 'with createWebSocketServer' : 'in the usual way';

  it(`${how}, neither a fast sender nor a client that does not read fills the memory of the app`, async () => {
    const { app, base } = await startApp(`${createsServer ? "const { WebSocketServer } = require('ws');" : ''}
      const server = http.createServer();
      const app = require('express')();
      ${createsServer ? 'const createWebSocketServer = (options) => new WebSocketServer(options);' : 'const createWebSocketServer = undefined;'}
      app.use('/', ExpressPeerServer(server, { createWebSocketServer }));
      server.on('request', app);
      server.listen(0, '127.0.0.1', () => console.log('port ' + server.address().port));
    `, { PEERBROKER_MESSAGES_PER_SECOND: String(BURST / 10) });
    const open = (id) => PeerSocket.open(base, { id });
    const [sender, sleeper] = await Promise.all(['sender', 'sleeper'].map(open));
    const talkers = await Promise.all(Array.from({ length: 40 }, (_, number) => open(`talker-${number}`)));
    sleeper.socket.pause();
    const before = peakOf(app.pid);
    const payload = 'x'.repeat(LARGE);
    const chat = JSON.stringify({ type: 'chat', payload });
    for (let sent = 0; sent < 400; sent += 1) sender.send(chat);
    for (const [number, talker] of talkers.entries()) {
      for (let sent = 1; sent < BURST; sent += 1) talker.send({ type: 'OFFER', dst: 'sleeper', payload });
      talker.send({ type: 'ANSWER', dst: `talker-${number}` });
      await talker.frame('ANSWER');
    }
    await until('the app to read no more of the sender', async () => {
      const left = sender.socket.bufferedAmount;
      const begun = Date.now();
      for (let round = 0; round < 20; round += 1) await text(`${base}peerjs/id`);
      // The program reads one a second.
      return left - sender.socket.bufferedAmount < LARGE * (2 + (Date.now() - begun) / 1000);
    });
    const grown = peakOf(app.pid) - before;
    assert.ok(sender.socket.bufferedAmount > 100 * LARGE, `the app has read all but ${sender.socket.bufferedAmount} bytes`);
    assert.ok(grown < 100, `the app has grown by ${grown} MiB`);
  });
}

it('memory does not grow over a thousand connections', async () => {
  const { app, base } = await startApp(`${BARE}
    require('node:v8').setFlagsFromString('--expose_gc');
    const collect = require('node:vm').runInNewContext('gc');
    let gone = 0;
    peers.on('connection', (client) => client.send({ type: 'hello' }));
    peers.on('message', () => {});
    peers.on('disconnect', () => {
      gone += 1;
      // Closing sockets are garbage a moment later.
      if (gone % 500 === 0) setTimeout(() => (collect(), console.log('heap ' + process.memoryUsage().heapUsed + ' after ' + gone)), 500);
    });
  `);
  const heaps = [];
  for (let round = 1; round <= 3; round += 1) {
    for (let number = 0; number < 500; number += 1) {
      const one = await PeerSocket.open(base, { id: `${round}-${number}` });
      one.send({ type: 'OFFER', dst: 'nobody', payload: 'x'.repeat(1000) });
      await one.close();
    }
    const [, heap] = await app.line(new RegExp(`^heap (\\d+) after ${round * 500}$`));
    heaps.push(Number(heap));
  }
  const grown = heaps[2] - heaps[0];
  assert.ok(grown < 500_000, `1000 connections have left ${grown} bytes: ${heaps}`);
}, { skip: !isThorough && 'half a minute' });
