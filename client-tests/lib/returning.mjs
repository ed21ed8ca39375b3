// Pages with the broker's own PeerJS, and a broker that is restarted: `returning(behaviour, browser, async (stage) => …)`.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startCluster } from './cluster.mjs';
import { Page } from './page.mjs';
import { withoutWebRtc } from './pipe-pages.mjs';
import { scratch } from './scratch.mjs';
import { startServer } from './server.mjs';
import { freePort, startShippedProxy } from './shipped-proxy.mjs';
import { takeDown } from './take-down.mjs';
import { LIMIT, until, within } from './within.mjs';

/** Runs a test, and stops all that it started. */
export function returning(behaviour, browser, run, timeout = LIMIT) {
  test(behaviour, { timeout }, async (t) => {
    const stage = new Stage(browser, await freePort(), (text) => t.diagnostic(text));
    t.after(() => stage.clear());
    try {
      await run(stage);
    } catch (error) {
      for (const page of stage.pages) t.diagnostic(await page.story().catch(String));
      const nodes = stage.clusters.flatMap(({ started }) => started);
      for (const server of [...stage.servers, ...nodes]) t.diagnostic(server.transcript());
      throw error;
    }
  });
}

const inPage = ['log.js', 'returning-page.js'].map((name) => readFileSync(join(import.meta.dirname, name), 'utf8'));

class Stage {
  pages = [];
  servers = [];
  proxies = [];
  clusters = [];
  flags = [];
  #folder = scratch();

  constructor(browser, port, note) {
    this.browser = browser;
    this.port = port;
    /** Adds a line to the test's output. */
    this.note = note;
    const scripts = [...['/peerjs.js', '/rooms.js'].map((url) => `<script src="${url}"></script>`), ...inPage.map((text) => `<script>${text}</script>`)];
    const none = `<script>(${withoutWebRtc})();</script>`;
    for (const [name, first] of [['index.html', ''], ['none.html', none]]) {
      writeFileSync(join(this.#folder, name), `<!doctype html><title>returning</title><link rel="icon" href="data:,">${first}${scripts.join('\n')}`);
    }
  }

  get server() {
    return this.servers.at(-1);
  }

  async start(flags = this.flags) {
    this.servers.push(await startServer(['--port', String(this.port), '--static_dir', this.#folder, ...flags]));
  }

  /** Three nodes; each comes back at its own port. */
  async cluster() {
    const ports = [await freePort(), await freePort(), await freePort()];
    const cluster = await startCluster({ flags: ['--static_dir', this.#folder, ...this.flags], ports });
    this.clusters.push(cluster);
    return cluster;
  }

  /** The shipped nginx in front of a server, or of several nodes. */
  async nginx(...servers) {
    const isOne = servers.length === 1;
    const proxy = await startShippedProxy(isOne ? 'nginx' : 'nginx-nodes', servers[0], { nodes: servers });
    this.proxies.push(proxy);
    return `${isOne ? 'https' : 'http'}://127.0.0.1:${proxy.port}/`;
  }

  async kill() {
    this.server.signal('SIGKILL');
    await within('the server to end', this.server.exited);
  }

  /** A page at this URL, or with this name; that of `none.html` has no WebRTC. */
  async page(url = '') {
    const page = await Page.load(this.browser, new URL(url, `http://127.0.0.1:${this.port}/`).href);
    this.pages.push(page);
    return page;
  }

  async opens(page, peer) {
    await page.ask('make', peer);
    await page.next(`${peer.id} open`);
  }

  /** The ids that have connected to the present server before this one, in their order. */
  async clientsUntil(last) {
    const clients = () => this.server.output.map((line) => line.match(/^Client connected: (\S+)/)?.[1]).filter(Boolean);
    await until(`the log to tell of ${last}`, () => clients().includes(last));
    return clients().slice(0, clients().indexOf(last));
  }

  clear() {
    return takeDown({ pages: this.pages, proxies: this.proxies, clusters: this.clusters, servers: this.servers });
  }
}
