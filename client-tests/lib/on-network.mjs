// States a behaviour of clients on a network of their own: `onNetwork(name, () => Network.apart(), async (stage) => …)`.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from './client.mjs';
import { joined, startRedis } from './cluster.mjs';
import { START } from './firefox.mjs';
import { noNetworks } from './network.mjs';
import { launchOn } from './network/browsers.mjs';
import { originOn, startPagesOn } from './network/programs.mjs';
import { Page } from './page.mjs';
import { startShippedProxy } from './shipped-proxy.mjs';
import { Stage, testOn } from './stage.mjs';
import { within } from './within.mjs';

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
  testOn(behaviour, () => new NetworkStage(lay()), run, { skip: noNetworks });
}

/** A network, with what runs on it. */
class NetworkStage extends Stage {
  /** Failed requests and errors of pages, which their scripts may not live to tell. */
  #faults = [];
  #site;

  constructor(network) {
    super();
    this.network = network;
  }

  /** Starts the server under test on the network's server. */
  server(flags, options = {}) {
    return super.server(flags, { network: this.network, ...options });
  }

  /** Starts a node of a cluster for each list of flags, each on its own server if the network has two. */
  async nodes(...flags) {
    const redis = await this.keep('stores', startRedis());
    const nodes = [];
    for (const [number, own] of flags.entries()) {
      const machine = number === 0 ? undefined : this.network.second;
      nodes.push(await this.server(['--redis', redis.url, '--node_name', `node-${number}`, ...own], { machine }));
    }
    await Promise.all(nodes.map(joined));
    return nodes;
  }

  /** Starts a proxy of deploy/ on the network's server, in front of the server under test. */
  proxy(kind, server, options = {}) {
    return this.keep('proxies', startShippedProxy(kind, server, { network: this.network, ...options }));
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

  #load(Kind, url, page) {
    return this.keep('pages', Kind.open(page, url, () => page.close()));
  }

  async #newPage(host, browser, options) {
    const started = await within(`${browser} to start on ${host}`, launchOn(this.network[host], browser, options), START);
    this.started.browsers.push({ stop: () => started.close() });
    const page = await within(`a page of ${browser}`, started.newPage());
    page.on('requestfailed', (request) => this.#faults.push(`${request.url()} failed: ${request.failure()?.errorText}`));
    page.on('pageerror', (error) => this.#faults.push(String(error)));
    return page;
  }

  async report() {
    return [...this.#faults, ...await super.report()];
  }

  async clear() {
    try {
      await super.clear();
    } finally {
      this.network.stop();
    }
  }
}
