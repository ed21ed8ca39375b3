// Apps of Node with the broker in them: their servers, which end with the test, and clients of these.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { afterEach, test } from 'node:test';
import { WebSocket } from 'ws';
import { endServer } from './node-api.mjs';
import { endSockets, PeerSocket } from './peer-socket.mjs';
import { LIMIT, within } from './within.mjs';

export const it = (behaviour, run) => test(behaviour, { timeout: LIMIT }, run);

export const servers = /** @type {http.Server[]} */ ([]);

afterEach(() => {
  endSockets();
  return Promise.all(servers.splice(0).map(endServer));
});

/** An app, and its server, which does not listen yet. */
export function serverOf(express) {
  const app = express();
  return { app, server: http.createServer(app) };
}

/** A server, or one of an app, that listens on a free port, or at another place. */
export async function listen(app, at = /** @type {any[]} */ ([0, '127.0.0.1'])) {
  const server = app instanceof http.Server ? app : http.createServer(app);
  servers.push(server.listen(...at));
  await once(server, 'listening');
  return server;
}

/** Two clients, of which one sends the other an offer. */
export async function reaches(base, prefix = '', options = {}) {
  const [from, to] = [`${prefix}alice`, `${prefix}bob`];
  const [one, other] = await Promise.all([from, to].map((id) => PeerSocket.open(base, { id, ...options })));
  one.send({ type: 'OFFER', dst: to, payload: 'hello' });
  assert.deepEqual(await other.frame('OFFER'), { type: 'OFFER', src: from, dst: to, payload: 'hello' });
  return [one, other];
}

/** The end of a handshake: a status, or open. */
export async function handshake(url) {
  const socket = new WebSocket(url.replace(/^http/, 'ws'));
  const [what] = await within(url, Promise.race([once(socket, 'open').then(() => ['open']), once(socket, 'error')]));
  socket.terminate();
  return what.message ?? what;
}
