// Three nodes on a Redis of their own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { startServer } from './server.mjs';
import { until } from './within.mjs';

/** Each node has these flags, and a port of its own for ever. */
export async function startCluster({ flags, ports }) {
  const cluster = new Cluster(await startRedis(), flags, ports);
  try {
    cluster.nodes = await Promise.all(ports.map((_, number) => cluster.startNode(number)));
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}

class Cluster {
  nodes = [];
  /** All nodes that there ever were. */
  started = [];
  #redis;
  #flags;
  #ports;

  constructor(redis, flags, ports) {
    this.#redis = redis;
    this.#flags = flags;
    this.#ports = ports;
  }

  async startNode(number) {
    const own = ['--port', String(this.#ports[number]), '--node_name', `node-${number}`];
    const node = await startServer(['--redis', this.#redis.url, '--drain_timeout', '1000', ...own, ...this.#flags]);
    this.started.push(node);
    await joined(node);
    return node;
  }

  /** Ends a node at once. */
  async kill(number) {
    this.nodes[number].signal('SIGKILL');
    await this.nodes[number].exited;
  }

  async stop() {
    await Promise.all(this.started.map((node) => node.stop()));
    await this.#redis.stop();
  }
}

/** A Redis on a Unix socket, which leads into any network namespace. */
export async function startRedis() {
  const folder = mkdtempSync(join(tmpdir(), 'peerbroker-redis-'));
  const socket = join(folder, 'socket');
  const unpacked = resolve(import.meta.dirname, '../../target/proxies/usr/bin/redis-server');
  const program = existsSync(unpacked) ? unpacked : 'redis-server';
  const child = spawn(program, ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', folder], { stdio: 'ignore' });
  const exited = once(child, 'close');
  const killWithUs = () => child.kill('SIGKILL');
  process.once('exit', killWithUs);
  const redis = {
    url: `unix://${socket}`,
    async stop() {
      child.kill('SIGKILL');
      await exited;
      process.off('exit', killWithUs);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await Promise.race([until('Redis to answer', () => answers(socket)), exited.then(() => { throw new Error('redis-server ended'); })]);
  } catch (error) {
    await redis.stop();
    throw error;
  }
  return redis;
}

function answers(path) {
  return new Promise((done) => {
    const client = net.connect(path, () => client.write('PING\r\n'));
    client.once('data', (bytes) => { client.destroy(); done(String(bytes).startsWith('+PONG')); });
    client.once('error', () => done(false));
  });
}

/** Waits until a server is a node of its cluster. */
export const joined = (node) => until('a node to join', () => / joined \(/.test(node.transcript()));
