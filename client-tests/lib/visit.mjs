// Opens the built-in pages like a person: `visit(behaviour, async (visit) => …)`. Every visit ends
// with a check that no page logged an error and that no request went to another machine.

import assert from 'node:assert/strict';
import { newPage } from './browser.mjs';
import { withoutWebRtc } from './pipe-pages.mjs';
import { Client } from './client.mjs';
import { startReverseProxy } from './reverse-proxy.mjs';
import { Stage, testOn } from './stage.mjs';
import { isThorough } from './thorough.mjs';
import { PATIENCE } from './within.mjs';

/**
 * A screen, with what a person does to a button on it.
 * @typedef {{
 *   name: string, press: string, viewport: { width: number, height: number },
 *   isMobile?: boolean, hasTouch?: boolean, deviceScaleFactor?: number,
 * }} Device
 */

/** @type {Device} */
export const desktop = { name: 'desktop', press: 'click', viewport: { width: 1280, height: 800 } };
export const phone = handheld('phone', 390, 844);
export const smallPhone = handheld('small phone', 320, 568);

/** @returns {Device} */
function handheld(name, width, height) {
  return { name, press: 'tap', viewport: { width, height }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
}

/** The screens of behaviour that is the same on all. Layout is tested on each. */
export const screens = isThorough ? [desktop, phone] : [phone];

/** The screens with their colours on which everybody can use each page: a computer's in light ones, or all. */
export const appearances = (isThorough ? [desktop, phone] : [desktop]).flatMap((screen) =>
  (isThorough ? ['light', 'dark'] : ['light']).map((colorScheme) => ({
    ...screen,
    name: `${screen.name}, ${colorScheme}`,
    colorScheme,
    reducedMotion: 'reduce',
  })),
);

/** The screens on which the layout of a page is tested. */
export const layouts = isThorough ? [desktop, phone, smallPhone] : [phone];

/** Chromium's console messages about a stopped server, or a file that the test blocks. */
export const UNREACHABLE = /net::ERR_|WebSocket connection to .* failed/;

/** This machine by its loopback address, and by a name that is not a secure context, as on a LAN. */
const OURS = ['127.0.0.1', 'lan.test'];

export function visit(behaviour, run) {
  testOn(behaviour, () => new Visit(), async (visit) => {
    await run(visit);
    visit.check();
  });
}

/** A visit that is made every night only: what it sees are details of one page, which changes rarely, or another way to the same. */
export const visitAtNight = isThorough ? visit : () => {};

class Visit extends Stage {
  #complaints = [];
  #tolerated = [];
  #foreign = [];
  #ours = [...OURS];

  /** Stops the server that was started last. */
  stopLatest() {
    return this.started.servers.at(-1).stop();
  }

  proxy(server, options = undefined) {
    return this.keep('proxies', startReverseProxy(server, options));
  }

  /** A page of a site, with PeerJS. */
  client(site) {
    return this.keep('pages', Client.load('chromium', site.url('1.5.5')));
  }

  /** A fresh page in its own browser context, like another person's. */
  async page({ name, press, ...context }, { javaScript = true, webRtc = true, browser = 'chromium' } = {}) {
    const page = await newPage(browser, { ...context, javaScriptEnabled: javaScript });
    page.setDefaultTimeout(PATIENCE);
    await page.context().addInitScript(webRtc ? complainAboutIceServers : withoutWebRtc);
    this.#watch(page, name);
    page.context().on('page', (popup) => this.#watch(popup, `${name}, second window`));
    return page;
  }

  async open(device, url, options) {
    const page = await this.page(device, options);
    await page.goto(url);
    return page;
  }

  #watch(page, name) {
    const story = async () => `${page.url()}:\n${await page.locator('body').innerText({ timeout: 1_000 })}`;
    this.started.pages.push({ story, stop: () => page.close() });
    const complain = (text) => this.#complaints.push(`${name}: ${text}`);
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complain(message.text());
    });
    page.on('pageerror', (error) => complain(error.stack));
    const ask = (url) => {
      const { protocol, hostname } = new URL(url);
      if (protocol !== 'data:' && !this.#ours.includes(hostname)) this.#foreign.push(url);
    };
    page.on('request', (request) => ask(request.url()));
    page.on('websocket', (socket) => ask(socket.url()));
  }

  /** Lets pages ask another host, which the test answers for. */
  allow(hostname) {
    this.#ours.push(hostname);
  }

  /** Allows console errors that match, earlier ones included. */
  tolerate(pattern) {
    this.#tolerated.push(pattern);
  }

  get complaints() {
    return this.#complaints;
  }

  check() {
    const tolerable = (text) => this.#tolerated.some((pattern) => pattern.test(text));
    assert.deepEqual(this.#complaints.filter((text) => !tolerable(text)), []);
    assert.deepEqual(this.#foreign, []);
  }

  async report() {
    return [...await super.report(), ...this.#complaints];
  }
}

/**
 * The address of a server or proxy; `lan.test` is this machine too.
 * @param {{ port: number | string, secure?: boolean }} server
 * @param {string} path
 */
export function urlOf({ port, secure }, path, host = '127.0.0.1') {
  return `${secure ? 'https' : 'http'}://${host}:${port}${path}`;
}

// Playwright does not see requests to STUN servers. They happen once there is a local description;
// PeerJS creates connections without one, with servers, only to detect features.
function complainAboutIceServers() {
  const { setLocalDescription } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.setLocalDescription = function (...description) {
    const urls = this.getConfiguration().iceServers.flatMap((server) => server.urls);
    // Its own STUN and TURN are the server under test.
    for (const url of urls.filter((url) => !/^(stun|turn)s?:127\./.test(url))) console.error(`asks ${url}`);
    return setLocalDescription.apply(this, description);
  };
}
