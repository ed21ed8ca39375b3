// The same frames to a signaling server of others and to ours: both have to say the same.

import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { startServer } from '../../client-tests/lib/server.mjs';
import { within } from '../../client-tests/lib/within.mjs';
import { root } from '../../scripts/test/log.mjs';
import { below } from './tools.mjs';

const { WebSocket } = createRequire(join(root, 'client-tests/package.json'))('ws');

const NAMES = ['a', 'b', 'c'];

/** Pings after an end, which the server may notice late. */
const ROUNDS = 20;

/** A client that notes what it hears. */
class Client {
  heard = [];

  /** Where the server speaks first, `idOf` reads the client's id in a frame. */
  constructor(url, idOf) {
    this.socket = new WebSocket(url);
    this.socket.on('error', () => {});
    this.closed = new Promise((resolve) => { this.socket.on('close', resolve); }).then(() => { this.heard.push('closed'); });
    this.id = new Promise((resolve) => {
      if (!idOf) this.socket.on('open', resolve);
      this.socket.on('message', (text) => {
        const frame = JSON.parse(String(text));
        if (idOf?.(frame)) resolve(idOf(frame));
        this.heard.push(frame);
      });
    });
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /** Resolves when the server has handled what this client has sent, and this client has what the server has sent. */
  async settle() {
    if (!this.isOpen) return;
    const answered = new Promise((resolve) => { this.socket.once('pong', resolve); });
    this.socket.ping();
    await within('a pong, or the end', Promise.race([answered, this.closed]));
  }
}

/**
 * What three clients hear after each step of a script: `{ a: frame }`, where a text or a buffer is sent as it is, a function gets all ids,
 * and 'close' closes; or `{ open: 'a', path }`. Without such, all open first. Names stand in the place of ids. A server that forwards
 * from other threads than it reads in needs some rounds of pings.
 */
export async function transcript(url, script, { idOf, normal = (frame) => frame, rounds = 1 } = {}) {
  const [clients, ids] = [{}, {}];
  const open = async (name, path) => {
    clients[name] = new Client(url + path, idOf);
    ids[name] = await within('the first frame', Promise.race([clients[name].id, clients[name].closed]));
  };
  if (!script.some((step) => step.open)) for (const name of NAMES) await open(name, script.find(({ path }) => path)?.path ?? '');
  const named = (value) => {
    let text = JSON.stringify(value);
    for (const name of NAMES) if (typeof ids[name] === 'string') text = text.replaceAll(new RegExp(ids[name], 'gi'), `id of ${name}`);
    return normal(JSON.parse(text));
  };
  const lines = [];
  const settle = async (times) => {
    for (let round = 0; round < times; round += 1) for (const client of Object.values(clients)) await client.settle();
  };
  const note = async (step) => {
    await settle(rounds);
    lines.push({ sent: step, ...Object.fromEntries(Object.entries(clients).map(([name, { heard }]) => [name, heard.splice(0).map(named)])) });
  };
  await note('the handshakes');
  for (const step of script) {
    if (step.open) {
      await open(step.open, step.path);
      await note(`${step.open} opens ${step.path}`);
      continue;
    }
    const [[name, what]] = Object.entries(step);
    if (!clients[name]?.isOpen) continue;
    const frame = typeof what === 'function' ? what(ids) : what;
    const isRaw = typeof frame === 'string' || frame instanceof Buffer;
    if (frame === 'close') {
      clients[name].socket.close();
      await within('the end of a connection', clients[name].closed);
      await settle(ROUNDS);
    } else {
      clients[name].socket.send(isRaw ? frame : JSON.stringify(frame));
      await clients[name].settle();
    }
    await note(`${name} > ${isRaw ? frame : JSON.stringify(named(frame))}`);
  }
  for (const { socket } of Object.values(clients)) socket.close();
  await within('the ends of connections', Promise.all(Object.values(clients).map(({ closed }) => closed)));
  return lines;
}

/**
 * Plays all scripts to both servers; ours has the protocol at a path, with flags. The titles of `differences` are those of scripts that
 * README.md explains.
 */
export async function compare(name, all, { differences, path = '', flags = [], ...how }, startTheirs) {
  const ours = await startServer(flags);
  const results = [];
  try {
    for (const [title, script] of Object.entries(all)) {
      const theirs = await startTheirs();
      try {
        results.push({ title, theirs: await transcript(theirs.url, script, how), ours: await transcript(ours.socketUrl + path, script, how) });
      } finally {
        await theirs.stop();
      }
    }
  } finally {
    await ours.stop();
  }
  const shown = (lines) => lines.map(({ sent, ...heard }) => `    ${sent.slice(0, 200)}\n      ${JSON.stringify(heard).slice(0, 400)}`).join('\n');
  const differs = results.filter((one) => !isDeepStrictEqual(one.theirs, one.ours));
  writeFileSync(below(`${name}.log`), results.map((one) => {
    const isSame = !differs.includes(one);
    return `${isSame ? 'same' : 'DIFFERENT'}: ${one.title}\n  ${name}:\n${shown(one.theirs)}\n${isSame ? '' : `  peerbroker:\n${shown(one.ours)}\n`}`;
  }).join('\n'));
  const titles = differs.map(({ title }) => title);
  const wrong = [
    ...titles.filter((title) => !differences.includes(title)).map((title) => `${title} differs`),
    ...differences.filter((title) => !titles.includes(title)).map((title) => `${title} does not differ any more`),
  ];
  if (wrong.length > 0) throw new Error(`${wrong.join('; ')}: see ${below(`${name}.log`)}`);
  return `${results.length - titles.length} of ${results.length} transcripts are the same`;
}
