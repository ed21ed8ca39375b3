// TURN and STUN clients that others wrote: coturn's, aioice's, Pion's and werift's. Those of ICE agents are in stacks.mjs.

import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { startServer } from '../../client-tests/lib/server.mjs';
import { find, freePort } from '../../client-tests/lib/shipped-proxy.mjs';
import { SECRET, runCoturnClient, turnFlags } from '../../client-tests/lib/turn.mjs';
import { pionProgram, weriftModule } from './programs.mjs';
import { Skipped, below, output, pythonPackages } from './tools.mjs';

const AIOICE = 'aioice==0.13.0';

/** Datagrams of each client of coturn, to the other one. */
const DATAGRAMS = 1000;

/** The flags of coturn's client. It sends by channels, or by indications with -s. */
const WAYS = { UDP: [], 'UDP by indications': ['-s'], TCP: ['-t'], 'TCP by indications': ['-t', '-s'], TLS: ['-t', '-S'] };

async function withTurn(use) {
  const port = await freePort();
  const server = await startServer(turnFlags(`127.0.0.1:${port}`), { tls: true });
  try {
    return await use(port);
  } finally {
    await server.stop();
  }
}

export const coturn = () => withTurn(async (port) => {
  try {
    find('turnutils_uclient');
  } catch (error) {
    throw new Skipped(error.message);
  }
  for (const name of ['stunclient', 'natdiscovery']) {
    const words = [...(name === 'natdiscovery' ? ['-m', '-f'] : []), '-p', `${port}`, '127.0.0.1'];
    const { code, text } = await output(name, find(`turnutils_${name}`), words);
    if (code !== 0 || !text.includes('UDP reflexive addr: 127.0.0.1:')) throw new Error(`turnutils_${name}: ${text}`);
  }
  await Promise.all(Object.entries(WAYS).map(async ([way, flags]) => {
    const said = await runCoturnClient(port, [...flags, '-n', `${DATAGRAMS}`]);
    if (!/Total lost packets 0 /.test(said)) throw new Error(`${way}: ${said}`);
  }));
  return `an address by two STUN clients; ${2 * DATAGRAMS} datagrams and none lost over each of ${Object.keys(WAYS).join(', ')}`;
});

export const aioice = () => withTurn(async (port) => {
  const env = await pythonPackages('python3', AIOICE);
  return exchange('aioice', 'python3', [join(import.meta.dirname, 'aioice_turn.py'), '127.0.0.1', `${port}`], { env });
});

export const pion = () => withTurn(async (port) => exchange('pion', await pionProgram('turn'), [`127.0.0.1:${port}`]));

export const werift = () => withTurn(async (port) => {
  const words = [join(import.meta.dirname, 'werift_turn.mjs'), await weriftModule(), '127.0.0.1', `${port}`];
  return exchange('werift', process.execPath, words);
});

/** Runs a program that ends with an error unless its two clients get all from each other. */
async function exchange(name, program, words, options) {
  const username = `${Math.floor(Date.now() / 1000) + 600}:peerjs`;
  const password = createHmac('sha1', SECRET).update(username).digest('base64');
  const { code } = await output(name, program, [...words, username, password], options);
  if (code !== 0) throw new Error(`see ${below(`${name}.log`)}`);
  return '1000 datagrams each way between two clients over UDP, TCP and TLS, by channels';
}
