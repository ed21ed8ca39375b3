// States a behaviour once and runs it with every chosen client: `everyClient(name, {firefox}, async (stage) => …)`.

import { after, test } from 'node:test';
import { Client } from './client.mjs';
import { startCluster } from './cluster.mjs';
import { startProxy } from './frozen-proxy.mjs';
import { Keys } from './keys.mjs';
import { Page } from './page.mjs';
import { startPages } from './pages.mjs';
import { chosenReleases, releases } from './releases.mjs';
import { startReverseProxy } from './reverse-proxy.mjs';
import { startServer } from './server.mjs';
import { takeDown } from './take-down.mjs';
import { LIMIT } from './within.mjs';

/**
 * Options: `firefox`, to run in Firefox too (1.5.5 only); `unless(release)`, to leave out releases
 * that cannot do this.
 * @param {string} behaviour
 * @param {{ firefox?: boolean, unless?: (release: any) => boolean }} options
 * @param {(stage: Stage) => Promise<void>} run
 */
export function everyClient(behaviour, { firefox = false, unless = () => false }, run) {
  for (const [version, release] of chosenReleases(unless)) {
    testWith(behaviour, { browser: 'chromium', version, release }, run);
  }
  if (firefox) {
    testWith(behaviour, { browser: 'firefox', version: '1.5.5', release: releases['1.5.5'] }, run);
  }
}

/** Runs a test once, for behaviour that concerns no release or several at once. Chromium only. */
export function onStage(behaviour, run) {
  testOn(behaviour, { browser: 'chromium' }, run);
}

function testWith(behaviour, setting, run) {
  testOn(`${behaviour} (${setting.version}, ${setting.browser})`, setting, run);
}

function testOn(behaviour, setting, run) {
  test(behaviour, { timeout: LIMIT }, async (t) => {
    const stage = new Stage(setting);
    t.after(() => stage.clear());
    try {
      await run(stage);
    } catch (error) {
      for (const line of await stage.report()) t.diagnostic(line);
      throw error;
    }
  });
}

let pages;
const commonSite = () => (pages ??= startPages());
after(async () => (await pages)?.stop());

/** The servers, proxies and pages of one test. They are stopped however the test ends. */
class Stage {
  #pages = [];
  #proxies = [];
  #servers = [];
  #clusters = [];
  #sites = [];

  constructor({ browser, version, release }) {
    this.browser = browser;
    this.version = version;
    this.release = release;
  }

  async server(flags, options) {
    const server = await startServer(flags, options);
    this.#servers.push(server);
    return server;
  }

  /** Three nodes behind a load balancer. */
  async cluster(options) {
    const cluster = await startCluster(options);
    this.#clusters.push(cluster);
    return cluster;
  }

  async proxy(server) {
    const proxy = await startProxy(server.port);
    this.#proxies.push(proxy);
    return proxy;
  }

  /** A proxy that forwards only HTTP and never answers a WebSocket. */
  async httpOnlyProxy(server) {
    const proxy = await startReverseProxy(server, { sockets: 0, refuse: false });
    this.#proxies.push(proxy);
    return proxy;
  }

  /** API keys for a server that gets `keys.flags`. */
  keys = () => new Keys();

  /** A web site with its own origin. */
  async site() {
    const site = await startPages();
    this.#sites.push(site);
    return site;
  }

  /** A fresh page with the PeerJS release of this test. */
  client(version = this.version, site = commonSite()) {
    return this.#load(Client, version, site);
  }

  /** A fresh page with another script: `rooms`, `calls`, `documents` or `torrents`. */
  page(name, site = commonSite(), browser = this.browser) {
    return this.#load(Page, name, site, browser);
  }

  async #load(Kind, name, site, browser = this.browser) {
    const url = (await site).url(name);
    const page = await Kind.load(browser, url);
    this.#pages.push(page);
    return page;
  }

  async report() {
    const stories = await Promise.all(this.#pages.map((page) => page.story().catch(String)));
    return [
      ...stories.map((story, i) => `page ${i + 1} saw: ${story}`),
      ...this.#everyServer.map((server) => `the server said:\n${server.transcript()}`),
    ];
  }

  get #everyServer() {
    return [...this.#servers, ...this.#clusters.flatMap(({ started }) => started)];
  }

  async clear() {
    const [clusters, servers] = [this.#clusters, this.#everyServer];
    return takeDown({ pages: this.#pages, proxies: this.#proxies, sites: this.#sites, clusters, servers });
  }
}
