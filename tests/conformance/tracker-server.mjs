// Takes the place of bittorrent-tracker's own server, `createServer` of `test/common.js`, in its tests.

import { EventEmitter, once } from 'node:events';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { TOKEN, dashboardOf } from '../../client-tests/lib/dashboard.mjs';
import { startServer } from '../../client-tests/lib/server.mjs';
import { root } from '../../scripts/test/log.mjs';

const { WebSocket, WebSocketServer } = createRequire(join(root, 'client-tests/package.json'))('ws');

const EVENTS = { started: 'start', stopped: 'stop' };

/**
 * A peerbroker, with those members of their server that the tests use. Clients come by a proxy, because the tests want the server's
 * events: one is emitted when peerbroker has answered the announce.
 */
class Tracker extends EventEmitter {
  torrents = [];
  #broker;
  #operator;
  #proxy;

  async start() {
    this.#broker = await startServer(['--dialects', 'tracker', '--ops_port', '0', '--admin_token', TOKEN]);
    this.#operator = (await dashboardOf(this.#broker)).url;
    this.#proxy = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    this.#proxy.on('connection', (client) => this.#forward(client));
    await once(this.#proxy, 'listening');
    return this;
  }

  /** The tests look for the server's port here. */
  get ws() {
    return { address: () => this.#proxy.address() };
  }

  get #url() {
    return `ws://127.0.0.1:${this.#broker.port}/`;
  }

  #forward(client) {
    const broker = new WebSocket(this.#url);
    const open = once(broker, 'open').catch(() => {});
    const unanswered = [];
    client.on('message', async (frame, isBinary) => {
      const said = JSON.parse(String(frame));
      if (said.action === 'announce' && !said.answer) unanswered.push(said);
      await open;
      broker.send(frame, { binary: isBinary });
    });
    broker.on('message', (frame, isBinary) => {
      const heard = JSON.parse(String(frame));
      client.send(frame, { binary: isBinary });
      if (heard.action !== 'announce' || heard.peer_id) return;
      const said = unanswered.shift();
      if (EVENTS[said.event] && !('failure reason' in heard)) this.emit(EVENTS[said.event], said.peer_id, said);
    });
    for (const [one, other] of [[client, broker], [broker, client]]) {
      one.on('error', () => {});
      one.on('close', () => other.close());
    }
  }

  /** The numbers of a scrape and of the metrics. Nothing else is known of a swarm. */
  async #swarm(infoHash) {
    const name = Buffer.from(infoHash, 'hex').toString('latin1');
    const socket = new WebSocket(this.#url);
    await once(socket, 'open');
    socket.send(JSON.stringify({ action: 'scrape', info_hash: name }));
    const [frame] = await once(socket, 'message');
    socket.close();
    const metrics = await (await fetch(`${this.#operator}metrics`, { headers: { Authorization: `Bearer ${TOKEN}` } })).text();
    const gauge = (metric) => Number(metrics.match(new RegExp(`^${metric} (\\d+)`, 'm'))[1]);
    this.torrents = Array(gauge('peerbroker_swarms')).fill();
    return { ...JSON.parse(String(frame)).files[name], peers: { length: gauge('peerbroker_swarm_members'), peek: () => ({}) } };
  }

  getSwarm(infoHash, callback) {
    this.#swarm(infoHash).then((swarm) => callback(null, swarm), callback);
  }

  async close(callback) {
    this.#proxy.close();
    await this.#broker.stop();
    callback?.();
  }
}

export async function createServer(_test, _options, use) {
  const tracker = await new Tracker().start();
  use(tracker, `ws://127.0.0.1:${tracker.ws.address().port}`);
}
