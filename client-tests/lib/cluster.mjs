// Three nodes on a Redis of their own, behind a load balancer that sends each request to the next node.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { bridge, forward, listen } from './listen.mjs';
import { headOf } from './reverse-proxy.mjs';
import { startServer } from './server.mjs';
import { until, within } from './within.mjs';

const COUNT = 3;

/** `sockets: false` leaves WebSockets without an answer. With `flags`, each node has these. With `ports`, each has its own for ever. */
export async function startCluster({ sockets = true, flags = [], ports = Array(COUNT).fill(0) } = {}) {
  const cluster = new Cluster(await startRedis(), flags, ports);
  try {
    cluster.nodes = await Promise.all(Array.from({ length: COUNT }, (_, number) => cluster.startNode(number)));
    cluster.balancer = await startBalancer(cluster.nodes, sockets);
    cluster.port = cluster.balancer.port;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}

/** Clients use it like a server: then each of their requests goes to the next node. */
class Cluster {
  host = '127.0.0.1';
  port = undefined;
  nodes = [];
  /** All nodes that there ever were. */
  started = [];
  balancer;
  #redis;
  #flags;
  #ports;

  constructor(redis, flags, ports) {
    this.#redis = redis;
    this.#flags = flags;
    this.#ports = ports;
  }

  get socketUrl() {
    return `ws://localhost:${this.port}/`;
  }

  /** The number of the node on which a client is. */
  async nodeOf(id) {
    const told = (node, what) => node.output.filter((line) => line === `Client ${what}: ${id}`).length;
    const has = (node) => told(node, 'connected') > told(node, 'disconnected');
    // A node tells a moment after the client knows.
    await until(`a node to tell of ${id}`, () => this.nodes.some(has));
    return this.nodes.findIndex(has);
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

  /** Ends a node as an update does, and starts it anew. */
  async update(number) {
    this.nodes[number].signal('SIGTERM');
    await within(`node ${number} to end`, this.nodes[number].exited);
    this.nodes[number] = await this.startNode(number);
  }

  async stop() {
    await this.balancer?.stop();
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

/** Sends each request to the next node that accepts connections. */
async function startBalancer(nodes, sockets) {
  let turn = 0;

  async function connect() {
    for (let tries = 0; tries < nodes.length; tries += 1) {
      turn += 1;
      const socket = net.connect(nodes[turn % nodes.length].port, '127.0.0.1');
      try {
        await once(socket, 'connect');
        return socket;
      } catch {}
    }
    return undefined;
  }

  const proxy = http.createServer(async (request, response) => {
    const socket = await connect();
    if (!socket) return response.writeHead(502).end();
    const { method, url, headers } = request;
    forward(request, response, http.request({ createConnection: () => socket, method, path: url, headers }));
  });

  proxy.on('upgrade', async (request, client) => {
    if (!sockets) return client.resume();
    const socket = await connect();
    if (!socket) return client.end('HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n');
    socket.write(headOf(request));
    bridge(client, socket);
  });

  return listen(proxy);
}
