// States a behaviour of clients on a network of their own: `onNetwork(name, () => Network.apart(), async (stage) => …)`.

import { test } from 'node:test';
import { Client } from './client.mjs';
import { noNetworks } from './network.mjs';
import { launchOn } from './network/browsers.mjs';
import { originOn, startPagesOn } from './network/programs.mjs';
import { startServer } from './server.mjs';
import { takeDown } from './take-down.mjs';
import { within } from './within.mjs';

// Each test starts its own browsers, because they live in its network.
const START = 45_000;

/** Runs a test in a fresh network, or skips it with the reason why there can be none. */
export function onNetwork(behaviour, lay, run) {
  test(behaviour, { skip: noNetworks, timeout: 180_000 }, async (t) => {
    const stage = new NetworkStage(lay());
    t.after(() => stage.clear());
    try {
      await run(stage);
    } catch (error) {
      for (const line of await stage.report()) t.diagnostic(line);
      throw error;
    }
  });
}

/** A network, with what runs on it. */
class NetworkStage {
  #browsers = [];
  #clients = [];
  #servers = [];
  #site;

  constructor(network) {
    this.network = network;
  }

  /** Starts the server under test on the network's server. */
  async server(flags, options = {}) {
    const server = await startServer(flags, { network: this.network, ...options });
    this.#servers.push(server);
    return server;
  }

  /** A page with a PeerJS release, on host `a` or `b`, in a browser of its own. See `launchOn` for further options. */
  async client(host, { browser = 'chromium', version = '1.5.5', ...options } = {}) {
    this.#site ??= startPagesOn(this.network);
    const site = await this.#site;
    const starting = launchOn(this.network[host], browser, { origin: originOn(this.network), ...options });
    const started = await within(`${browser} to start on ${host}`, starting, START);
    this.#browsers.push({ stop: () => started.close() });
    const page = await within(`a page of ${browser}`, started.newPage());
    const client = await Client.open(page, site.url(version), () => page.close());
    this.#clients.push(client);
    return client;
  }

  async report() {
    const stories = await Promise.all(this.#clients.map((client) => client.story().catch(String)));
    return [
      ...stories.map((story, i) => `page ${i + 1} saw: ${story}`),
      ...this.#servers.map((server) => `the server said:\n${server.transcript()}`),
    ];
  }

  async clear() {
    try {
      await takeDown({ clients: this.#clients, browsers: this.#browsers, servers: this.#servers });
    } finally {
      this.network.stop();
    }
  }
}
