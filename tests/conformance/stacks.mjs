// Stacks of WebRTC that others wrote meet where there is no direct path: through the relay, or through TURN.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startServer } from '../../client-tests/lib/server.mjs';
import { onlyThrough, turnFlags } from '../../client-tests/lib/turn.mjs';
import { within } from '../../client-tests/lib/within.mjs';
import { gstreamerPython, libjuiceModule, pionProgram, str0mProgram, weriftModule } from './programs.mjs';
import { Skipped, below, pythonPackages } from './tools.mjs';

const AIORTC = 'aiortc==1.16.0';
const MESSAGES = 1000;
const PATIENCE = 60_000;

/** Pairs that run at once. */
const AT_ONCE = 2;

// Each machine of their networks ends with this process. Beyond ten listeners, Node warns of a leak.
process.setMaxListeners(10 * AT_ONCE);

const script = (name) => join(import.meta.dirname, 'peers', name);
const browserLike = async (module, config) => ({ command: [process.execPath, script('webrtc.mjs')], options: { module: await module, config } });

/**
 * The program of each stack and its options. With `turn`, an `RTCIceServer`, it uses only that. Otherwise it is told `stun`. With
 * `overTcp`, it has candidates over TCP.
 */
const STACKS = {
  pion: async () => ({ command: [await pionProgram('peer')] }),
  libjuice: ({ stun, turn }) => browserLike(libjuiceModule(), {
    // It makes URLs of them.
    iceServers: [turn ? { ...turn, username: encodeURIComponent(turn.username), credential: encodeURIComponent(turn.credential) } : { urls: stun }],
    iceTransportPolicy: turn ? 'relay' : 'all',
  }),
  // Without a STUN server it asks Google's.
  werift: ({ stun, overTcp }) => browserLike(weriftModule(), { iceServers: [{ urls: stun }], iceUseTcp: overTcp }),
  aiortc: async () => {
    const { PYTHONPATH } = await pythonPackages('python3', AIORTC);
    return { command: ['env', `PYTHONPATH=${PYTHONPATH}`, 'python3', script('aiortc_peer.py')] };
  },
  libnice: async ({ turn }) => ({
    command: [await gstreamerPython(), script('gstreamer_peer.py')],
    options: { properties: turn ? { 'ice-transport-policy': 'relay', 'turn-server': uriOf(turn) } : {} },
  }),
  str0m: async ({ overTcp }) => ({ command: [await str0mProgram()], options: { overTcp } }),
};

const uriOf = ({ urls, username, credential }) => urls.replace(':', `://${[username, credential].map(encodeURIComponent).join(':')}@`);

/** Callers that come to the relay over TCP (RFC 6544). README.md says why no others do. */
const OVER_TCP = ['werift', 'libnice', 'str0m'];

/** Pairs that do not connect directly either. README.md says why. */
const IMPOSSIBLE = ['pion libjuice', 'libjuice pion', 'libnice aiortc', 'str0m werift', 'str0m libnice', 'libnice str0m'];

/** Lets a caller send messages to a callee, and get them back. */
async function meet({ caller, callee, flags, turnUrl, withoutUdp = false }) {
  const { Network } = await import('../../client-tests/lib/network.mjs');
  const name = [caller, callee, ...(withoutUdp ? ['tcp'] : [])].join('-');
  const network = Network.apart();
  let server;
  try {
    if (withoutUdp) network.blockUdp('a');
    server = await startServer(flags(network), { network });
    const turn = turnUrl && { ...onlyThrough().config.iceServers[0], urls: turnUrl(network) };
    const stun = `stun:${network.address}:5349`;
    const url = `http://${network.address}:${server.port}/`;
    rmSync(below(`${name}.log`), { force: true });
    const start = async (host, stack, id, other, isCaller) => {
      const { command, options } = await STACKS[stack]({ stun, turn, overTcp: isCaller && withoutUdp });
      const words = [script('signalling.mjs'), url, id, other, ...command, JSON.stringify({ isCaller, messages: MESSAGES, ...options })];
      const [program, all] = network[host].command(process.execPath, ...words);
      return new Peer(`${name}.log`, stack, spawn(program, all, { stdio: ['ignore', 'pipe', 'pipe'] }));
    };
    const b = await start('b', callee, 'bob', 'alice', false);
    await b.says('open');
    const a = await start('a', caller, 'alice', 'bob', true);
    await Promise.race([a.says('done'), b.died]);
  } catch (error) {
    throw new Error(`${caller} to ${callee}${withoutUdp ? ' without UDP' : ''}: ${error.message}; see ${below(`${name}.log`)}`, { cause: error });
  } finally {
    network.stop();
    await server?.stop();
  }
}

/** A peer of a stack, which ends with its network. */
class Peer {
  #lines;

  constructor(log, stack, child) {
    createInterface(child.stderr).on('line', (line) => appendFileSync(below(log), `${stack}: ${line}\n`));
    this.#lines = createInterface(child.stdout);
    this.died = once(child, 'exit').then(([code]) => {
      throw new Error(`${stack} ended with ${code}`);
    });
    this.died.catch(() => {});
  }

  says(word) {
    const heard = new Promise((resolve) => {
      this.#lines.on('line', (line) => line === word && resolve());
    });
    return within(word, Promise.race([heard, this.died]), PATIENCE);
  }
}

async function onNetworks() {
  const { noNetworks } = await import('../../client-tests/lib/network.mjs');
  if (noNetworks) throw new Skipped(noNetworks);
}

/** Lets all pairs meet, some at once. Fails with all errors. */
async function meetAll(pairs) {
  const errors = [];
  const left = [...pairs];
  const work = async () => {
    for (let pair = left.shift(); pair; pair = left.shift()) await meet(pair).catch(({ message }) => errors.push(message));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (errors.length > 0) throw new Error(errors.join('\n'));
}

/** TURN with the agent of a stack, over the transports of TURN that it has. */
async function throughTurn(stack, transports) {
  await onNetworks();
  await STACKS[stack]({});
  await meetAll(transports.map((transport) => ({
    caller: stack,
    callee: stack,
    flags: ({ address }) => turnFlags(address),
    turnUrl: ({ address }) => `turn:${address}:5349?transport=${transport}`,
  })));
  const over = transports.map((transport) => transport.toUpperCase()).join(' and ');
  return `${MESSAGES} messages each way between two peers over ${over}, by channels`;
}

export const libjuice = () => throughTurn('libjuice', ['udp']);
export const libnice = () => throughTurn('libnice', ['udp', 'tcp']);

export async function relay() {
  await onNetworks();
  const present = [];
  const missing = [];
  for (const stack of Object.keys(STACKS)) {
    await STACKS[stack]({}).then(() => present.push(stack), (error) => {
      if (!(error instanceof Skipped)) throw error;
      missing.push(error.message);
    });
  }
  const pairs = present.flatMap((caller) => present.map((callee) => ({ caller, callee })))
    .filter(({ caller, callee }) => !IMPOSSIBLE.includes(`${caller} ${callee}`));
  const flags = ({ address }) => ['--relay', address];
  const overTcp = pairs.filter(({ caller }) => OVER_TCP.includes(caller));
  await meetAll([...pairs, ...overTcp.map((pair) => ({ ...pair, withoutUdp: true }))].map((pair) => ({ ...pair, flags })));
  return [`${pairs.length} pairs of ${present.join(', ')} send ${MESSAGES} messages each way, ${overTcp.length} of them also with the caller over TCP`, ...missing].join('; ');
}
