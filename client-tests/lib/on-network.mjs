// States a behaviour of clients on a network of their own: `onNetwork(name, () => Network.apart(), async (stage) => …)`.

import { test } from 'node:test';
import { Client } from './client.mjs';
import { noNetworks } from './network.mjs';
import { Page } from './page.mjs';
import { launchOn } from './network/browsers.mjs';
import { originOn, startPagesOn } from './network/programs.mjs';
import { startServer } from './server.mjs';
import { takeDown } from './take-down.mjs';
import { PATIENCE, within } from './within.mjs';

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
  #pages = [];
  #servers = [];
  #site;

  constructor(network) {
    this.network = network;
  }

  /** Starts the server under test on the network's server. */
  async server(flags) {
    const server = await startServer(flags, { network: this.network });
    this.#servers.push(server);
    return server;
  }

  /** A page with a PeerJS release, on host `a` or `b`, in a browser of its own. See `launchOn` for further options. */
  async client(host, { browser, version = '1.5.5', ...options } = {}) {
    const page = await this.#launch(host, browser, options);
    const client = await Client.open(page, await this.#url(version), () => page.close());
    this.#clients.push(client);
    return client;
  }

  /** A page with the script `rooms` or `calls`, on host `a` or `b`, in a Chromium of its own. */
  async page(host, script) {
    const page = await this.#launch(host);
    const opened = await Page.open(page, await this.#url(script), () => page.close());
    this.#clients.push(opened);
    return opened;
  }

  /** A page of a server, on host `a` or `b`, in a Chromium of its own, as a person opens it. */
  async visit(host, url) {
    const page = await this.#launch(host, 'chromium', { origins: [new URL(url).origin] });
    page.setDefaultTimeout(PATIENCE);
    this.#pages.push(page);
    await within(`${url} to load`, page.goto(url));
    return page;
  }

  async #url(name) {
    this.#site ??= startPagesOn(this.network);
    return (await this.#site).url(name);
  }

  async #launch(host, browser = 'chromium', options = {}) {
    const starting = launchOn(this.network[host], browser, { origins: [originOn(this.network)], ...options });
    const started = await within(`${browser} to start on ${host}`, starting, START);
    this.#browsers.push({ stop: () => started.close() });
    return within(`a page of ${browser}`, started.newPage());
  }

  async report() {
    const stories = await Promise.all(this.#clients.map((client) => client.story().catch(String)));
    const texts = await Promise.all(this.#pages.map((page) => page.locator('body').innerText().catch(String)));
    return [
      ...stories.map((story, i) => `page ${i + 1} saw: ${story}`),
      ...texts.map((text) => `a page showed: ${text}`),
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
