// Pipes of a cluster, whose ends are on two nodes, when one of them is killed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCluster } from '../lib/cluster.mjs';
import { Page } from '../lib/page.mjs';
import { connect, startPipePages } from '../lib/pipe-pages.mjs';
import { takeDown } from '../lib/take-down.mjs';
import { LIMIT, until, within } from '../lib/within.mjs';

/** Two pages without WebRTC on nodes 0 and 1 of three. `places` are where they find the broker, `sites` what is in front of it. */
function onTwoNodes(behaviour, engine, run) {
  test(`${behaviour} (${engine})`, { timeout: LIMIT }, async (t) => {
    const all = { pages: [], proxies: [], clusters: [], servers: [] };
    t.after(() => takeDown(all));
    const cluster = await startCluster();
    all.clusters.push(cluster);
    all.servers = cluster.started;
    const places = cluster.nodes.slice(0, 2).map(({ port }) => ({ port }));
    for (const broker of places) all.proxies.push(await startPipePages({ broker }));
    for (const site of all.proxies) all.pages.push(await Page.load(engine, site.page({ browser: 'none' })));
    try {
      await run({ cluster, places, sites: all.proxies, pages: /** @type {[any, any]} */ (all.pages), note: (text) => t.diagnostic(text) });
    } catch (error) {
      for (const page of all.pages) t.diagnostic((await page.story().catch(String)).slice(-2_000));
      for (const node of cluster.started) t.diagnostic(node.transcript());
      throw error;
    }
  });
}

/** Each page hears what the other one sends from now on. */
async function goesOn(pages) {
  for (const [from, to] of [pages, [...pages].reverse()]) {
    const sent = await from.ask('sentNumbers');
    await until('later messages', async () => (await to.ask('heard', 0)).length > sent);
  }
}

const SPARE = 2;

for (const engine of ['chromium', 'firefox']) {
  for (const [name, killed] of /** @type {const} */ ([['offered', 0], ['answered', 1]])) {
    onTwoNodes(`the node of the page that ${name} is killed, and no message is lost or doubled`, engine, async ({ cluster, places, sites, pages, note }) => {
      await connect(pages);
      for (const page of pages) await page.ask('startStream');
      await goesOn(pages);

      const lost = new Promise((heard) => { sites[1 - killed].heardLoss = heard; });
      const began = performance.now();
      const since = () => `${Math.round(performance.now() - began)} ms`;
      const dead = cluster.kill(killed);
      const how = await within('the broker to tell the other page', lost);
      note(`the other page's pipe was cut after ${since()}: ${how}`);
      await dead;
      places[killed].port = cluster.nodes[SPARE].port;
      await goesOn(pages);
      note(`data went on after ${since()}`);

      for (const [from, to] of [pages, [...pages].reverse()]) {
        const sent = await from.ask('stopStream');
        await until('the last message', async () => (await to.ask('heard', 0)).length >= sent);
        assert.deepEqual(await to.ask('heard', 0), Array.from({ length: sent }, (_, number) => String(number)));
      }
      for (const page of pages) assert.equal((await page.ask('states')).connectionState, 'connected');
    });
  }
}
