// Pages with the broker's own PeerJS, and a broker that is restarted: `returning(behaviour, browser, async (stage) => …)`.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startCluster } from './cluster.mjs';
import { Page } from './page.mjs';
import { withoutWebRtc } from './pipe-pages.mjs';
import { scratch } from './scratch.mjs';
import { freePort, startShippedProxy } from './shipped-proxy.mjs';
import { Stage, testOn } from './stage.mjs';
import { until, within } from './within.mjs';

export function returning(behaviour, browser, run, timeout = undefined) {
  testOn(behaviour, async () => new ReturningStage(browser, await freePort()), run, { timeout });
}

const inPage = ['log.js', 'returning-page.js'].map((name) => readFileSync(join(import.meta.dirname, name), 'utf8'));

class ReturningStage extends Stage {
  flags = [];
  #folder = scratch();

  constructor(browser, port) {
    super();
    this.browser = browser;
    this.port = port;
    const scripts = [...['/peerjs.js', '/rooms.js'].map((url) => `<script src="${url}"></script>`), ...inPage.map((text) => `<script>${text}</script>`)];
    const none = `<script>(${withoutWebRtc})();</script>`;
    for (const [name, first] of [['index.html', ''], ['none.html', none]]) {
      writeFileSync(join(this.#folder, name), `<!doctype html><title>returning</title><link rel="icon" href="data:,">${first}${scripts.join('\n')}`);
    }
  }

  get broker() {
    return this.started.servers.at(-1);
  }

  start(flags = this.flags) {
    return super.server(['--port', String(this.port), '--static_dir', this.#folder, ...flags]);
  }

  /** Three nodes; each comes back at its own port. */
  async cluster() {
    const ports = [await freePort(), await freePort(), await freePort()];
    return this.keep('clusters', startCluster({ flags: ['--static_dir', this.#folder, ...this.flags], ports }));
  }

  /** The shipped nginx in front of a server, or of several nodes. */
  async nginx(...servers) {
    const isOne = servers.length === 1;
    const proxy = await this.keep('proxies', startShippedProxy(isOne ? 'nginx' : 'nginx-nodes', servers[0], { nodes: servers }));
    return `${isOne ? 'https' : 'http'}://127.0.0.1:${proxy.port}/`;
  }

  async kill() {
    this.broker.signal('SIGKILL');
    await within('the server to end', this.broker.exited);
  }

  /** A page at this URL, or with this name; that of `none.html` has no WebRTC. */
  page(url = '') {
    return this.keep('pages', Page.load(this.browser, new URL(url, `http://127.0.0.1:${this.port}/`).href));
  }

  async opens(page, peer) {
    await page.ask('make', peer);
    await page.next(`${peer.id} open`);
  }

  /** The ids that have connected to the present server before this one, in their order. */
  async clientsUntil(last) {
    const clients = () => this.broker.output.map((line) => line.match(/^Client connected: (\S+)/)?.[1]).filter(Boolean);
    await until(`the log to tell of ${last}`, () => clients().includes(last));
    return clients().slice(0, clients().indexOf(last));
  }
}
