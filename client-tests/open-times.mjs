// Measures the time until PeerJS's `open`, of the served scripts beside the published PeerJS: `npm run open-times`. Each of the ROUNDS
// has a new page of each. In it, a Peer opens, then another one, and a connection between them: with a broker on this machine, and with one
// that is as far away as one of users.

import { test } from 'node:test';
import { newPage } from './lib/browser.mjs';
import { startProxy } from './lib/frozen-proxy.mjs';
import { Page } from './lib/page.mjs';
import { startPipePages } from './lib/pipe-pages.mjs';
import { startServer } from './lib/server.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 20);

/** The last kind shows what chance makes of no difference. @type {Record<string, import('./lib/pipe-pages.mjs').Kind>} */
const KINDS = {
  published: { library: 'released', script: false },
  'peerjs.min.js': { library: 'peerjs.min.js', script: false },
  'published, webrtc.js': { library: 'released' },
  'published, again': { library: 'released', script: false },
};

/** A browser, and the milliseconds to the broker and back. @type {[string, number][]} */
const PLACES = [['chromium', 0], ['chromium', 20], ['firefox', 0], ['firefox', 20]];

console.log('| Browser | Round trip | `open` of | Script | median ms | least–most | to published, by rounds |');
for (const [browser, away] of PLACES) {
  test(`${browser}, ${away} ms`, async (t) => {
    const broker = await startServer();
    t.after(() => broker.stop());
    const pages = await startPipePages({ broker });
    t.after(() => pages.stop());
    const proxy = await startProxy(broker.port, { delay: away / 2 });
    t.after(() => proxy.stop());
    /** @type {Record<string, Record<string, number[]>>} */
    const times = {};
    // In turn, so that a busy machine slows all. The first round only warms the browser up.
    for (let round = 0; round <= ROUNDS; round += 1) {
      const all = Object.entries(KINDS);
      for (const [name, kind] of [...all.slice(round % all.length), ...all.slice(0, round % all.length)]) {
        // Not one that was used before: Chromium counts connections of its process for some time after their end.
        const tab = await newPage(browser);
        const page = await Page.open(tab, pages.page(kind), () => tab.close());
        const took = await page.run(open, away ? proxy.port : pages.port);
        await page.stop();
        for (const [what, time] of round ? Object.entries(took) : []) ((times[what] ??= {})[name] ??= []).push(time);
      }
    }
    for (const [what, kinds] of Object.entries(times)) {
      for (const name of Object.keys(KINDS)) {
        const [least, median, most] = [0, 0.5, 1].map((share) => quantile(kinds[name], share).toFixed(1));
        const ratio = quantile(kinds[name].map((time, round) => time / kinds.published[round]), 0.5).toFixed(2);
        console.log(`| ${browser} | ${away} ms | ${what} | ${name} | ${median} | ${least}–${most} | ${ratio} |`);
      }
    }
  });
}

/** Runs in the page. */
async function open(port) {
  const options = { host: location.hostname, port, path: '/', config: { iceServers: [] } };
  const time = async (start) => {
    const began = performance.now();
    const started = start();
    await new Promise((opened) => { started.on('open', opened); });
    return performance.now() - began;
  };
  const [one, other] = [crypto.randomUUID(), crypto.randomUUID()];
  const peers = [];
  const peer = (id) => time(() => {
    peers.push(new Peer(id, options));
    return peers.at(-1);
  });
  const took = { 'a Peer': await peer(one) };
  await peer(other);
  return { ...took, 'a connection': await time(() => peers[0].connect(other)) };
}

function quantile(all, share) {
  const sorted = all.toSorted((one, other) => one - other);
  return sorted[Math.round((sorted.length - 1) * share)];
}
