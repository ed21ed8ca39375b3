// The same frames to the signaling server of RxDB and to ours: both have to say the same.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { within } from '../client-tests/lib/within.mjs';
import { root } from '../scripts/test/log.mjs';
import { compare } from './topics.mjs';

const clientTests = createRequire(join(root, 'client-tests/package.json'));

const ROOM = 'notes of May';
const joins = (room = ROOM) => ({ type: 'join', room });
/** A signal between two clients, once their ids are known. */
const signal = (from, to, data, more) => (ids) => ({
  type: 'signal', room: ROOM, senderPeerId: ids[from], receiverPeerId: ids[to] ?? to, data, connectionId: 'c 1', ...more,
});
const all = [{ a: joins() }, { b: joins() }, { c: joins() }];

const SCRIPTS = {
  'rooms': [...all, { a: joins('another room') }, { b: joins('another room') }],
  'a room once more': [...all, { a: joins() }],
  'ends': [...all, { c: joins('another room') }, { b: 'close' }, { a: 'close' }],
  'signals': [
    ...all, { a: signal('a', 'b', { type: 'offer', sdp: 'v=0\r\n' }) }, { b: signal('b', 'a', { type: 'answer', sdp: 'v=0\r\n' }) },
    { a: signal('a', 'c', { type: 'candidate', candidate: { candidate: '', sdpMLineIndex: 0 } }) }, { c: signal('c', 'c', { renegotiate: true }) },
    { a: signal('a', 'b', 'text \u2028 🎈') }, { a: signal('a', 'b', null) }, { a: signal('a', 'b', [1]) }, { a: signal('a', 'b', {}, { connectionId: undefined }) },
  ],
  'a signal without a room': [{ a: signal('a', 'b', {}) }, { b: signal('b', 'a', {}, { room: 'another room' }) }],
  'a signal to nobody': [...all, { a: signal('a', 'nobody', {}) }, { a: signal('a', 'b', {}) }],
  'a signal to one that has gone': [...all, { b: 'close' }, { a: signal('a', 'b', {}) }],
  'pings': [{ a: { type: 'ping' } }, ...all, { a: { type: 'ping', x: 1 } }],
  'names of 6 and 99 characters': [{ a: joins('abcdef') }, { b: joins('x'.repeat(99)) }],
  'characters in a name': [{ a: joins('Übung "\\" 🎈') }, { b: joins('Übung "\\" 🎈') }, { a: joins('__proto__') }, { a: joins('constructor') }],
  'binary frames': [{ a: Buffer.from(JSON.stringify(joins())) }, { b: joins() }],
  'white space': [{ a: ` \n${JSON.stringify(joins(), null, 2)}` }, { b: joins() }],
  'another path below': [{ path: '?x=1' }, ...all],
  'a name of 5 characters': [...all, { a: joins('abcde') }],
  'a name of 100 characters': [...all, { a: joins('x'.repeat(100)) }],
  'no name': [...all, { a: { type: 'join' } }, { b: { type: 'join', room: 1 } }],
  'another sender': [...all, { a: signal('b', 'c', {}) }],
  'an unknown type': [...all, { a: { type: 'leave', room: ROOM } }, { b: {} }],
  'no JSON': [...all, { a: 'hello' }],
  'a control character in a name': [{ a: joins('a\u0001bcdef') }],
};

/** It prints its port, and later what it closes. */
const SERVER = `
  import { startSignalingServerSimplePeer } from 'rxdb/plugins/replication-webrtc';
  const { server } = await startSignalingServerSimplePeer({ port: 0, host: '127.0.0.1' });
  server.on('listening', () => console.log(server.address().port));
`;

/** Pings after an end. */
const ROUNDS = 20;

/** README.md explains them. */
const DIFFERENCES = [
  'a room once more', 'a name of 5 characters', 'a name of 100 characters', 'no name', 'another sender', 'an unknown type', 'no JSON', 'a control character in a name',
];

/** A client that notes what it hears, with names in place of ids. */
class Client {
  heard = [];

  constructor(url) {
    const { WebSocket } = clientTests('ws');
    this.socket = new WebSocket(url);
    this.socket.on('error', () => {});
    this.closed = new Promise((resolve) => { this.socket.on('close', resolve); }).then(() => { this.heard.push('closed'); });
    // The server speaks first.
    this.opened = new Promise((resolve) => {
      this.socket.on('message', (text) => {
        const frame = JSON.parse(String(text));
        if (frame.type === 'init') resolve(frame.yourPeerId);
        this.heard.push(frame);
      });
    });
  }

  get isOpen() {
    return this.socket.readyState === this.socket.OPEN;
  }

  /** Resolves when the server has handled what this client has sent, and this client has what the server has sent. */
  async settle() {
    if (!this.isOpen) return;
    const answered = new Promise((resolve) => { this.socket.once('pong', resolve); });
    this.socket.ping();
    await within('a pong, or the end', Promise.race([answered, this.closed]));
  }
}

/** What the clients hear after each frame of a script. */
async function transcript(url, script) {
  const query = script.find((step) => step.path)?.path ?? '';
  const clients = {};
  const ids = {};
  for (const name of ['a', 'b', 'c']) {
    clients[name] = new Client(url + query);
    ids[name] = await within('the first frame', clients[name].opened);
  }
  const lines = [];
  const named = (value) => {
    let text = JSON.stringify(value);
    for (const [name, id] of Object.entries(ids)) text = text.replaceAll(id, `id of ${name}`);
    const frame = JSON.parse(text);
    // The order of a list is that of arrivals there, and that of ids here.
    frame.otherPeerIds?.sort();
    return frame;
  };
  const note = async (sent) => {
    for (const client of Object.values(clients)) await client.settle();
    lines.push({ sent, ...Object.fromEntries(Object.entries(clients).map(([name, { heard }]) => [name, heard.splice(0).map(named)])) });
  };
  await note('the handshakes');
  for (const step of script) {
    const [[name, what]] = Object.entries(step);
    if (!clients[name]?.isOpen) continue;
    const { socket } = clients[name];
    const frame = typeof what === 'function' ? what(ids) : what;
    if (frame === 'close') {
      socket.close();
      await within('the end of a connection', clients[name].closed);
      // The server may notice it later.
      for (let round = 0; round < ROUNDS; round += 1) for (const client of Object.values(clients)) await client.settle();
    } else {
      socket.send(typeof frame === 'string' || frame instanceof Buffer ? frame : JSON.stringify(frame));
      await clients[name].settle();
    }
    await note(`${name} > ${JSON.stringify(named(String(frame) === '[object Object]' ? frame : String(frame)))}`);
  }
  for (const { socket } of Object.values(clients)) socket.close();
  await within('the ends of connections', Promise.all(Object.values(clients).map(({ closed }) => closed)));
  return lines;
}

export async function rxdb() {
  const start = async () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', SERVER], { cwd: join(root, 'client-tests'), stdio: ['ignore', 'pipe', 'ignore'] });
    const exited = once(child, 'exit');
    const [line] = await within("RxDB's server", once(createInterface(child.stdout), 'line'));
    return { url: `ws://127.0.0.1:${line}/`, stop: () => (child.kill(), exited) };
  };
  return compare('rxdb', SCRIPTS, { differences: DIFFERENCES, transcript, path: 'rxdb' }, start);
}
