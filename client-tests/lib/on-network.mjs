// States a behaviour of clients on a network of their own: `onNetwork(name, () => Network.apart(), async (stage) => …)`.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client } from './client.mjs';
import { joined, startRedis } from './cluster.mjs';
import { START } from './firefox.mjs';
import { noNetworks } from './network.mjs';
import { launchOn } from './network/browsers.mjs';
import { originOn, startPagesOn } from './network/programs.mjs';
import { Page } from './page.mjs';
import { startServer } from './server.mjs';
import { startShippedProxy } from './shipped-proxy.mjs';
import { takeDown } from './take-down.mjs';
import { LIMIT, within } from './within.mjs';

/** Runs in a page of the server before its own scripts. */
const SPY = `${readFileSync(join(import.meta.dirname, 'way.js'))}
  window.connections = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...all) {
      super(...all);
      window.connections.push(this);
    }
  };
`;

/** Runs a test in a fresh network, or skips it with the reason why there can be none. */
export function onNetwork(behaviour, lay, run) {
  test(behaviour, { skip: noNetworks, timeout: LIMIT }, async (t) => {
    const stage = new NetworkStage(lay(), (text) => t.diagnostic(text));
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
  /** Failed requests and errors of pages, which their scripts may not live to tell. */
  #faults = [];
  #proxies = [];
  #servers = [];
  #stores = [];
  #site;

  /** `note` prints a figure beside the test's result. */
  constructor(network, note) {
    this.network = network;
    this.note = note;
  }

  /** Starts the server under test on the network's server. */
  async server(flags, options = {}) {
    const server = await startServer(flags, { network: this.network, ...options });
    this.#servers.push(server);
    return server;
  }

  /** Starts a node of a cluster for each list of flags, each on its own server if the network has two. */
  async nodes(...flags) {
    const redis = await startRedis();
    this.#stores.push(redis);
    const nodes = [];
    for (const [number, own] of flags.entries()) {
      const machine = number === 0 ? undefined : this.network.second;
      nodes.push(await this.server(['--redis', redis.url, '--node_name', `node-${number}`, ...own], { machine }));
    }
    await Promise.all(nodes.map(joined));
    return nodes;
  }

  /** Starts a proxy of deploy/ on the network's server, in front of the server under test. */
  async proxy(kind, server, options = {}) {
    const proxy = await startShippedProxy(kind, server, { network: this.network, ...options });
    this.#proxies.push(proxy);
    return proxy;
  }

  /** A server as a host reaches it. */
  seenFrom(host, { port, secure }) {
    return { host: this.network.addressFor(host), port, secure };
  }

  /** A page with a PeerJS release, on host `a` or `b`, in a browser of its own. See `launchOn` for further options. */
  async client(host, { version = '1.5.5', ...options } = {}) {
    return this.#open(Client, host, version, options);
  }

  /** The same with the page at this address. */
  async clientAt(host, url, { browser = 'chromium', ...options } = {}) {
    return this.#load(Client, url, await this.#newPage(host, browser, { origin: new URL(url).origin, ...options }));
  }

  /** The same for a page without PeerJS: `rooms` or `calls`. */
  async page(host, name, options = {}) {
    return this.#open(Page, host, name, options);
  }

  /** A page of the server itself, on host `a` or `b`, in a browser of its own. Its connections are `window.connections`. */
  async visit(host, url, { browser = 'chromium', ...options } = {}) {
    const page = await this.#newPage(host, browser, { origin: new URL(url).origin, ...options });
    // Playwright's name, and puppeteer's.
    await (page.addInitScript ?? page.evaluateOnNewDocument).call(page, SPY);
    return this.#load(Page, url, page);
  }

  async #open(Kind, host, name, { browser = 'chromium', ...options }) {
    this.#site ??= startPagesOn(this.network);
    await this.#site;
    const origin = originOn(this.network, host);
    const page = await this.#newPage(host, browser, { origin, ...options });
    return this.#load(Kind, `${origin}/${name}`, page);
  }

  async #load(Kind, url, page) {
    const client = await Kind.open(page, url, () => page.close());
    this.#clients.push(client);
    return client;
  }

  async #newPage(host, browser, options) {
    const started = await within(`${browser} to start on ${host}`, launchOn(this.network[host], browser, options), START);
    this.#browsers.push({ stop: () => started.close() });
    const page = await within(`a page of ${browser}`, started.newPage());
    page.on('requestfailed', (request) => this.#faults.push(`${request.url()} failed: ${request.failure()?.errorText}`));
    page.on('pageerror', (error) => this.#faults.push(String(error)));
    return page;
  }

  async report() {
    const stories = await Promise.all(this.#clients.map((client) => client.story().catch(String)));
    return [
      ...this.#faults,
      ...stories.map((story, i) => `page ${i + 1} saw: ${story}`),
      ...this.#servers.map((server) => `the server said:\n${server.transcript()}`),
    ];
  }

  async clear() {
    try {
      await takeDown({ clients: this.#clients, browsers: this.#browsers, proxies: this.#proxies, servers: this.#servers, stores: this.#stores });
    } finally {
      this.network.stop();
    }
  }
}
