// Rooms of Matchbox: the same frames to matchbox_server and to ours.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../client-tests/lib/shipped-proxy.mjs';
import { until } from '../../client-tests/lib/within.mjs';
import { Skipped, below, output } from './tools.mjs';
import { compare } from './transcripts.mjs';

const VERSION = '0.15.0';

const opens = (name, path = 'room') => ({ open: name, path });
const signal = (to, data) => (ids) => ({ Signal: { receiver: ids[to] ?? to, data } });
const NOBODY = '4f3c2a1b-0d9e-4c8b-a7f6-5e4d3c2b1a09';
const all = [opens('a'), opens('b'), opens('c')];

const SCRIPTS = {
  'a room': [...all, { b: 'close' }, { a: 'close' }],
  'two rooms': [opens('a', 'one'), opens('b', 'other'), opens('c', 'one'), { a: 'close' }],
  'signals': [
    ...all, { a: signal('b', { Offer: 'v=0\r\n' }) }, { b: signal('a', { Answer: 'v=0\r\n' }) }, { c: signal('a', { IceCandidate: '{"candidate":""}' }) },
    { a: signal('a', 'myself 🎈') }, { a: signal('b', null) }, { a: signal('b', [1, { x: -1.5 }]) },
  ],
  'a signal into another room': [opens('a', 'one'), opens('b', 'other'), { a: signal('b', 1) }],
  'a signal to nobody': [...all, { a: signal(NOBODY, 1) }, { a: signal('b', 2) }],
  'a signal to one that has gone': [...all, { b: 'close' }, { a: signal('b', 1) }],
  'an id in capitals': [...all, { a: (ids) => ({ Signal: { receiver: ids.b.toUpperCase(), data: 1 } }) }],
  'frames that are none': [
    ...all, { a: '"KeepAlive"' }, { a: 'hello' }, { a: '' }, { a: '{}' }, { a: '{"Signal":{}}' }, { a: '{"Signal":{"receiver":"b","data":1}}' }, { a: { Hello: 1 } },
    { a: Buffer.from('"KeepAlive"') }, { a: signal('b', 'the end') },
  ],
  'other members': [...all, { a: (ids) => ({ Signal: { x: 1, receiver: ids.b, data: 1 } }) }],
  'groups of two': [opens('a', 'room?next=2'), opens('b', 'room?next=2'), opens('c', 'room?next=2'), { b: 'close' }, { a: 'close' }],
  'a group of three': [opens('a', 'room?next=3'), opens('b', 'room?next=3'), opens('c', 'room?next=3'), { a: 'close' }, { b: 'close' }],
  'a place that is free again': [opens('a', 'room?next=2'), { a: 'close' }, opens('b', 'room?next=2'), opens('c', 'room?next=2')],
  'a room with groups and without': [opens('a', 'room?next=2'), opens('b', 'room'), opens('c', 'room?next=2')],
  'groups of other sizes': [opens('a', 'room?next=2'), opens('b', 'room?next=3'), opens('c', 'room?next=2')],
  'next that is no number': [opens('a', 'room?next=x'), opens('b', 'room?next='), opens('c', 'room')],
  'groups of one': [opens('a', 'room?next=1'), opens('b', 'room?next=1')],
  'no room': [opens('a', ''), opens('b', ''), opens('c', 'room')],
};

/** README.md explains them. */
const DIFFERENCES = ['groups of two'];

/** Installs the server, once. */
async function program() {
  const folder = below(`matchbox-server-${VERSION}`);
  const path = join(folder, 'bin/matchbox_server');
  if (!existsSync(path)) {
    const words = ['install', '--quiet', '--locked', '--root', folder, '--target-dir', below('matchbox-server'), `matchbox_server@${VERSION}`];
    const { code, text } = await output('matchbox-server-build', 'cargo', words);
    if (code !== 0) throw new Skipped(`cargo cannot install matchbox_server: ${text.trim().split('\n').at(-1)}`);
  }
  return path;
}

export async function matchboxServer() {
  const path = await program();
  const start = async () => {
    const port = await freePort();
    const child = spawn(path, [`127.0.0.1:${port}`], { stdio: 'ignore' });
    const exited = once(child, 'exit');
    await until('matchbox_server', () => fetch(`http://127.0.0.1:${port}/health`).then(({ ok }) => ok, () => false));
    return { url: `ws://127.0.0.1:${port}/`, stop: () => (child.kill(), exited) };
  };
  const how = { differences: DIFFERENCES, path: 'matchbox/', flags: ['--dialects', 'matchbox'], idOf: ({ IdAssigned }) => IdAssigned, rounds: 20 };
  return compare('matchbox-server', SCRIPTS, how, start);
}
