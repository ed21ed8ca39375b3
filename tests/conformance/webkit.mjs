// A browser without WebRTC: WebKitGTK's MiniBrowser exchanges data with Chromium, over the broker.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { CHROMIUM, launchChromium } from '../../client-tests/lib/chromium.mjs';
import { connect, startPipePages } from '../../client-tests/lib/pipe-pages.mjs';
import { startServer } from '../../client-tests/lib/server.mjs';
import { SCREEN, WEBKIT, launchWebKit } from '../../client-tests/lib/webkit.mjs';
import { within } from '../../client-tests/lib/within.mjs';
import { root } from '../../scripts/test/log.mjs';
import { need } from './programs.mjs';
import { Skipped, below, output } from './tools.mjs';

const MEGABYTE = 1_048_576;
const FILE = 8 * MEGABYTE;

/** A page with a script of client-tests/lib, as its tests control it. */
class End {
  #page;

  constructor(name, page) {
    this.name = name;
    this.#page = page;
  }

  load(url) {
    return within(`${url} to load in ${this.name}`, this.#page.goto(url));
  }

  ask(method, ...given) {
    const call = this.#page.evaluate(([name, values]) => window.harness[name](...values), [method, given]);
    return within(`${method} in ${this.name}`, call);
  }

  must(event) {
    return this.ask('must', event);
  }
}

/** A Peer in each page, which connects to the other one. */
async function withPeers(ends, { host, port }) {
  for (const end of ends) {
    await end.ask('start', { id: end.name, options: { host, port, path: '/', secure: false } });
    await end.must('open');
  }
  for (const [from, to] of [ends, ends.toReversed()]) {
    const number = await from.ask('connect', { to: to.name });
    assert.equal(await from.ask('echo', { number, value: 'hello' }), 'hello');
    assert.equal(await from.ask('echoBytes', { number, size: MEGABYTE }), true);
    assert.equal((await from.ask('way')).local.type, 'relay');
  }
}

/** simple-peer, with each page as the one that offers. */
async function withSimplePeer(ends, site, reload) {
  for (const [one, other] of [ends, ends.toReversed()]) {
    await reload();
    await one.ask('meet', true);
    await other.ask('meet', false);
    await other.ask('signal', await one.must('signal'));
    await one.ask('signal', await other.must('signal'));
    for (const [from, to] of [[one, other], [other, one]]) {
      await from.must('connected');
      await from.ask('say', `hello from ${from.name}`);
      assert.equal(await to.must('data'), `hello from ${from.name}`);
    }
  }
}

/** A file each way, over one channel of RTCPeerConnection. */
async function withFiles(ends) {
  await connect(ends);
  for (const [from, to] of [ends, ends.toReversed()]) {
    await to.ask('act', 'hash');
    await from.ask('startFile', FILE);
    for (let arrived = 0; arrived < FILE;) arrived = await to.ask('more', arrived);
    assert.equal(await to.ask('fileHash', FILE), (await from.ask('sent')).hash);
    assert.ok((await from.ask('kinds')).includes('pipe'));
  }
}

/** Pages of client-tests/lib/pipe-pages.mjs, and what they do. */
const CASES = [
  ['PeerJS 1.5.5', { library: '1.5.5' }, withPeers],
  ['the served peerjs.js', { library: 'peerjs.js', script: false }, withPeers],
  ['simple-peer', { library: 'simple-peer' }, withSimplePeer],
  [`files of ${FILE / MEGABYTE} MiB`, { library: 'bare' }, withFiles],
];

export async function webkit() {
  need(CHROMIUM, WEBKIT, SCREEN);
  const { code } = await output('fetch-clients', process.execPath, [join(root, 'client-tests/fetch-clients.mjs')]);
  if (code !== 0) throw new Skipped(`PeerJS cannot be had: see ${below('fetch-clients.log')}`);
  const broker = await startServer();
  const site = await startPipePages({ broker });
  const guests = [];
  try {
    const webkit = await launchWebKit();
    guests.push(webkit);
    const chromium = await launchChromium();
    guests.push(chromium);
    const ends = [new End('webkit', webkit.page), new End('chromium', await chromium.newPage())];
    await ends[0].load(site.page({ script: false }));
    if (await webkit.page.evaluate(() => 'RTCPeerConnection' in window)) throw new Skipped(`WebKitGTK ${webkit.version} of this machine has WebRTC`);
    for (const [name, kind, run] of CASES) {
      const load = () => Promise.all(ends.map((end) => end.load(site.page(kind))));
      await load();
      await run(ends, site, load).catch((error) => {
        throw new Error(`${name}: ${error.message}`, { cause: error });
      });
    }
    return `MiniBrowser of WebKitGTK ${webkit.version}, which has no WebRTC, and Chromium: ${CASES.map(([name]) => name).join(', ')}, each way`;
  } finally {
    await Promise.allSettled(guests.map((guest) => guest.close()));
    await Promise.all([site.stop(), broker.stop()]);
  }
}
