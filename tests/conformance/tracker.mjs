// Swarms: the same frames to bittorrent-tracker's server and to ours.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { within } from '../../client-tests/lib/within.mjs';
import { npmPackages } from './tools.mjs';
import { compare } from './transcripts.mjs';

export const TRACKER = 'bittorrent-tracker@11.2.3';

/** It prints its port. */
export const SERVER = `
  import Server from 'bittorrent-tracker/server';
  const server = new Server({ udp: false, http: true, ws: true, stats: false });
  server.on('listening', () => console.log(server.http.address().port));
  server.listen(0, '127.0.0.1');
`;

const TORRENT = 'a-torrent-of-20-byte';
const OTHER = 'another-torrent-here';
const PEER = { a: 'a'.repeat(20), b: 'b'.repeat(20), c: 'c\u00ff\u0000"\\'.padEnd(20, 'c') };

const announces = (peer, more = {}) => ({ action: 'announce', info_hash: TORRENT, peer_id: PEER[peer], numwant: 5, ...more });
const offers = (...ids) => ({ offers: ids.map((id) => ({ offer: { type: 'offer', sdp: `v=0 ${id}` }, offer_id: `${id}` })) });
const answers = (peer, to, id) => announces(peer, { to_peer_id: PEER[to], answer: { type: 'answer', sdp: `v=0 ${id}` }, offer_id: `${id}` });
const scrapes = (...hashes) => ({ action: 'scrape', info_hash: hashes.length === 1 ? hashes[0] : hashes });
const two = [{ a: announces('a', { event: 'started', left: 0 }) }, { b: announces('b', { event: 'started', left: 9 }) }];

const SCRIPTS = {
  'a swarm': [...two, { c: announces('c', { event: 'started', left: 9 }) }, { a: announces('a', { left: 0 }) }],
  'offers and answers': [
    ...two, { a: announces('a', { left: 0, ...offers(1) }) }, { b: answers('b', 'a', 1) }, { b: announces('b', { left: 9, ...offers(2, 3, 4) }) },
    { a: answers('a', 'b', 2) },
  ],
  'no others': [{ a: announces('a', { left: 0, ...offers(1, 2) }) }],
  'an answer for nobody': [...two, { a: answers('a', 'c', 1) }],
  'an answer without to_peer_id': [...two, { a: announces('a', { answer: { type: 'answer', sdp: '' }, offer_id: '1' }) }],
  'events': [
    ...two, { b: announces('b', { event: 'completed', left: 0 }) }, { a: announces('a', { event: 'update', left: 0 }) }, { a: announces('a', { event: 'paused', left: 0 }) },
    { b: announces('b', { event: 'stopped', left: 0 }) }, { a: announces('a', { left: 0 }) }, { b: announces('b', { event: 'stopped' }) }, { b: announces('b', { left: 9 }) },
  ],
  'the rest of a torrent': [...two, { b: announces('b', { left: 0 }) }, { b: announces('b', { left: 9 }) }],
  'what is left': [{ a: announces('a', { left: '0' }) }, { b: announces('b', { left: 'x' }) }, { c: announces('c') }],
  'an end': [...two, { a: 'close' }, { b: announces('b', { left: 9 }) }],
  'two torrents': [...two, { a: announces('a', { info_hash: OTHER, left: 9 }) }, { a: scrapes(TORRENT, OTHER) }, { a: 'close' }, { b: scrapes(TORRENT, OTHER) }],
  'scrapes': [{ a: scrapes(TORRENT) }, ...two, { c: scrapes(TORRENT) }, { c: scrapes(OTHER, TORRENT) }],
  'invalid names': [
    { a: announces('a', { info_hash: 'short' }) }, { a: announces('a', { info_hash: 1 }) }, { a: announces('a', { peer_id: 'x'.repeat(21) }) }, { a: announces('a', { peer_id: undefined }) },
    { a: { ...answers('a', 'b', 1), to_peer_id: 'short' } }, { a: scrapes('short') },
  ],
  'an invalid event': [{ a: announces('a', { event: 'hello', left: 0 }) }],
  'binary frames': [{ a: Buffer.from(JSON.stringify(announces('a', { left: 0 }))) }],
  'members of offers': [...two, { a: announces('a', { left: 0, offers: [{ offer_id: '1', offer: { sdp: '', x: [1] }, y: 2 }] }) }],
  'no JSON': [{ a: 'hello' }],
  'an unknown action': [{ a: { action: 'hello' } }, { a: {} }],
  'an id that another client has': [...two, { c: announces('a', { left: 9 }) }, { c: 'close' }, { b: announces('b', { left: 9 }) }],
  'a scrape of all': [...two, { c: { action: 'scrape' } }],
};

/** README.md explains them. */
const DIFFERENCES = ['no JSON', 'an unknown action', 'an id that another client has', 'a scrape of all'];

export async function tracker() {
  const folder = await npmPackages('bittorrent-tracker', TRACKER);
  const start = async () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', SERVER], { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] });
    const exited = once(child, 'exit');
    const [line] = await within('the tracker', once(createInterface(child.stdout), 'line'));
    return { url: `ws://127.0.0.1:${line}/`, stop: () => (child.kill(), exited) };
  };
  return compare('tracker', SCRIPTS, { differences: DIFFERENCES, flags: ['--dialects', 'tracker'] }, start);
}
