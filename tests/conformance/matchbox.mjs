// Peers with Matchbox's own socket, which find each other through the server.

import { spawn } from 'node:child_process';
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startServer } from '../../client-tests/lib/server.mjs';
import { matchboxProgram } from './programs.mjs';
import { until } from '../../client-tests/lib/within.mjs';
import { below } from './tools.mjs';

const MESSAGES = 1000;

/** A peer that exchanges messages with so many others. */
class Peer {
  said = [];
  #child;

  constructor(program, url, others, machine) {
    const words = [url, `${others}`, `${MESSAGES}`];
    const [command, all] = machine?.command(program, ...words) ?? [program, words];
    this.#child = spawn(command, all, { stdio: ['pipe', 'pipe', 'pipe'] });
    createInterface(this.#child.stdout).on('line', (line) => this.said.push(line));
    createInterface(this.#child.stderr).on('line', (line) => appendFileSync(below('matchbox.log'), `${line}\n`));
    this.exited = new Promise((resolve) => { this.#child.once('close', (code) => resolve(code)); });
    this.exited.then((code) => this.said.push(`ended with ${code}`));
  }

  hears(word) {
    const ended = () => this.said.find((line) => line.startsWith('ended'));
    return until(word, () => {
      if (ended()) throw new Error(`a peer ${ended()}: see ${below('matchbox.log')}`);
      return this.said.includes(word);
    });
  }

  /** Ends it as an app that is closed. */
  end() {
    this.#child.stdin.end();
    return this.exited;
  }
}

/** Lets so many peers meet in groups of a size, and one leave if they are one group. With machines, they take turns. */
async function meet(program, url, count, size, machines = [undefined]) {
  const peers = Array.from({ length: count }, (_, i) => new Peer(program, url, size - 1, machines[i % machines.length]));
  try {
    await Promise.all(peers.map((peer) => peer.hears('done')));
    if (size < count) return;
    await peers.pop().end();
    await Promise.all(peers.map((peer) => peer.hears('left')));
  } finally {
    await Promise.all(peers.map((peer) => peer.end()));
  }
}

/** Lets a host meet two peers, and leave. */
async function meetHost(program, url, machines = [undefined]) {
  const machine = (i) => machines[i % machines.length];
  const host = new Peer(program, url, 2, machine(0));
  const peers = [];
  try {
    await host.hears('here');
    peers.push(...[1, 2].map((i) => new Peer(program, url, 1, machine(i))));
    await Promise.all([host, ...peers].map((peer) => peer.hears('done')));
    await host.end();
    await Promise.all(peers.map((peer) => peer.hears('left')));
  } finally {
    await Promise.all([host, ...peers].map((peer) => peer.end()));
  }
}

/** Two hosts that reach only the server. */
async function meetApart(program, Network) {
  const network = Network.apart();
  try {
    const server = await startServer(['--dialects', 'matchbox', '--relay', network.address], { network });
    try {
      const url = (room) => `ws://${network.address}:${server.port}/matchbox/${room}`;
      await meet(program, url('lobby'), 3, 3, [network.a, network.b]);
      await meet(program, url('duel?next=2'), 2, 2, [network.a, network.b]);
      await meetHost(program, url('game?topology=client_server'), [network.a, network.b]);
    } finally {
      await server.stop();
    }
  } finally {
    network.stop();
  }
}

export async function matchbox() {
  const program = await matchboxProgram();
  writeFileSync(below('matchbox.log'), '');
  for (const relay of [[], ['--relay', '127.0.0.1:0', '--relay_private', '--relay_mode', 'always']]) {
    const server = await startServer(['--dialects', 'matchbox', ...relay]);
    try {
      const url = (room) => new URL(join('matchbox', room), server.socketUrl).href;
      await meet(program, url('lobby'), 3, 3);
      await meet(program, url('duel?next=2'), 4, 2);
      await meetHost(program, url('game?topology=client_server'));
    } finally {
      await server.stop();
    }
  }
  const { Network, noNetworks } = await import('../../client-tests/lib/network.mjs');
  if (!noNetworks) await meetApart(program, Network);
  const ways = ['directly', 'by the relay alone', noNetworks || 'without a direct path'].join('; ');
  return `${MESSAGES} messages each way between three native peers of a room, pairs of \`?next=2\`, and a host and two peers: ${ways}`;
}
