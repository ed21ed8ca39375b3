// Rooms of RxDB: the same frames to its signaling server, and to ours.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { within } from '../../client-tests/lib/within.mjs';
import { root } from '../../scripts/test/log.mjs';
import { compare } from './transcripts.mjs';

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

/** README.md explains them. */
const DIFFERENCES = [
  'a room once more', 'a control character in a name',
];

export async function rxdb() {
  const start = async () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', SERVER], { cwd: join(root, 'client-tests'), stdio: ['ignore', 'pipe', 'ignore'] });
    const exited = once(child, 'exit');
    const [line] = await within("RxDB's server", once(createInterface(child.stdout), 'line'));
    return { url: `ws://127.0.0.1:${line}/`, stop: () => (child.kill(), exited) };
  };
  const idOf = ({ type, yourPeerId }) => type === 'init' && yourPeerId;
  // Their order is that of arrivals there, and that of ids here.
  const normal = (frame) => (frame.otherPeerIds?.sort(), frame);
  return compare('rxdb', SCRIPTS, { differences: DIFFERENCES, path: 'rxdb', idOf, normal }, start);
}
