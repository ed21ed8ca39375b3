// States a behaviour once and runs it with every chosen client: `everyClient(name, {firefox}, async (stage) => …)`.

import { after } from 'node:test';
import { Client } from './client.mjs';
import { startProxy } from './frozen-proxy.mjs';
import { Page } from './page.mjs';
import { startPages } from './pages.mjs';
import { chosenReleases, releases } from './releases.mjs';
import { startReverseProxy } from './reverse-proxy.mjs';
import { Stage, testOn } from './stage.mjs';

/**
 * Options: `firefox`, to run in Firefox too (1.5.5 only); `unless(release)`, to leave out releases
 * that cannot do this.
 * @param {string} behaviour
 * @param {{ firefox?: boolean, unless?: (release: any) => boolean }} options
 * @param {(stage: ClientStage) => Promise<void>} run
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
  testOn(behaviour, () => new ClientStage({ browser: 'chromium' }), run);
}

function testWith(behaviour, setting, run) {
  testOn(`${behaviour} (${setting.version}, ${setting.browser})`, () => new ClientStage(setting), run);
}

let pages;
const commonSite = () => (pages ??= startPages());
after(async () => (await pages)?.stop());

class ClientStage extends Stage {
  constructor({ browser, version = undefined, release = undefined }) {
    super();
    this.browser = browser;
    this.version = version;
    this.release = release;
  }

  proxy(server) {
    return this.keep('proxies', startProxy(server.port));
  }

  /** A proxy that forwards only HTTP and never answers a WebSocket. */
  httpOnlyProxy(server) {
    return this.keep('proxies', startReverseProxy(server, { sockets: 0, refuse: false }));
  }

  /** A fresh page with the PeerJS release of this test. */
  client(version = this.version, site = commonSite()) {
    return this.#load(Client, version, site);
  }

  /** A fresh page with another script: `rooms`, `calls`, `replica` or `torrents`. */
  page(name, site = commonSite(), browser = this.browser) {
    return this.#load(Page, name, site, browser);
  }

  async #load(Kind, name, site, browser = this.browser) {
    return this.keep('pages', Kind.load(browser, (await site).url(name)));
  }
}
