// A PeerJS in Node, with one of the libraries that have the API of browsers. A peer `browser` returns each message as `{echo: …}`, and
// answers `{call: ID}` with the answer of that peer to its own message. Usage: peerjs.mjs FOLDER LIBRARY PORT

import { deepEqual } from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, library, port] = process.argv.slice(2);
const require = createRequire(join(folder, 'package.json'));
const load = async (name) => {
  const module = await import(pathToFileURL(require.resolve(name)).href);
  return module.RTCPeerConnection ? module : module.default;
};

const { RTCPeerConnection, RTCIceCandidate, RTCSessionDescription } = await load(library);
// That of werift takes its two members.
class Description {
  constructor(init) {
    Object.assign(this, init);
  }
}
Object.assign(globalThis, { RTCPeerConnection, RTCIceCandidate, RTCSessionDescription: library === 'werift' ? Description : RTCSessionDescription });
globalThis.WebSocket ??= require('ws');
const { Peer } = require('peerjs');

const next = (emitter, event) => new Promise((done) => emitter.once(event, done));

// Without `secure`, PeerJS asks for the page's scheme.
const peer = new Peer('node', { host: '127.0.0.1', port: Number(port), path: '/', secure: false, config: { iceServers: [] } });
peer.on('error', (error) => {
  console.error(`${error.type}: ${error.message}`);
  process.exit(1);
});
peer.on('connection', (connection) => connection.on('data', (data) => connection.send({ echo: data })));
await next(peer, 'open');
const connection = peer.connect('browser');
await next(connection, 'open');
const bytes = randomBytes(1 << 20);
for (const message of [{ n: 1 }, 'text', new Uint8Array(bytes)]) {
  connection.send(message);
  const { echo } = await next(connection, 'data');
  deepEqual(typeof message === 'object' && 'length' in message ? new Uint8Array(echo) : echo, message);
}
connection.send({ call: 'node' });
deepEqual(await next(connection, 'data'), { echo: 'from the browser' });
// Some libraries would end the process with a signal while they close.
process.exit(0);
