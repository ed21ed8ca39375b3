// Measures how long a native data channel takes to open, in pages with webrtc.js and without: `npm run open-times`. Each of the ROUNDS has
// a new page of each kind. In it, one pair of connections opens its channel, then twenty do, one pair after the other.

import { test } from 'node:test';
import { newPage } from './lib/browser.mjs';
import { Page } from './lib/page.mjs';
import { startPipePages } from './lib/pipe-pages.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 15);

const IN_A_ROW = 20;

/** The last kind shows what chance makes of no difference. */
const KINDS = { without: { script: false }, with: { script: true }, 'without, again': { script: false } };

console.log('| Browser | Pairs | webrtc.js | median ms | least–most | to without, by rounds |');
for (const browser of ['chromium', 'firefox']) {
  test(browser, async (t) => {
    const server = await startPipePages();
    t.after(() => server.stop());
    const times = { 'one in a new page': noTimes(), [`each of ${IN_A_ROW} in a row`]: noTimes() };
    const [one, row] = Object.values(times);
    // In turn, so that a busy machine slows all. The first round only warms the browser up.
    for (let round = 0; round <= ROUNDS; round += 1) {
      const all = Object.entries(KINDS);
      for (const [name, kind] of [...all.slice(round % all.length), ...all.slice(0, round % all.length)]) {
        // Not one that was used before: Chromium counts connections of its process for some time after their end.
        const tab = await newPage(browser);
        const page = await Page.open(tab, server.page(kind), () => tab.close());
        const single = await page.ask('timeToOpen', 1);
        const several = await page.ask('timeToOpen', IN_A_ROW);
        await page.stop();
        if (round === 0) continue;
        one[name].push(...single);
        row[name].push(quantile(several, 0.5));
      }
    }
    for (const [pairs, kinds] of Object.entries(times)) {
      for (const [kind, all] of Object.entries(kinds)) {
        const [least, median, most] = [0, 0.5, 1].map((share) => quantile(all, share).toFixed(1));
        const ratio = quantile(all.map((time, round) => time / kinds.without[round]), 0.5).toFixed(2);
        console.log(`| ${browser} | ${pairs} | ${kind} | ${median} | ${least}–${most} | ${ratio} |`);
      }
    }
  });
}

/** @returns {Record<string, number[]>} */
function noTimes() {
  return Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, []]));
}

function quantile(all, share) {
  const sorted = all.toSorted((one, other) => one - other);
  return sorted[Math.round((sorted.length - 1) * share)];
}
