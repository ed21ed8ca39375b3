// RxDB, unchanged, replicates a database between pages that have met at `{path}rxdb`.

import assert from 'node:assert/strict';
import { onStage } from '../lib/every-client.mjs';
import { listing } from '../lib/listings.mjs';
import { Network } from '../lib/network.mjs';
import { onNetwork } from '../lib/on-network.mjs';

onStage('1,000 documents are replicated between pages of two browsers, and a third one gets them later', async (stage) => {
  const url = `${(await stage.server()).socketUrl}rxdb`;
  const anna = await open(stage, url, 'chromium');
  const ben = await open(stage, url, 'firefox');
  await Promise.all([anna.must('met'), ben.must('met')]);
  assert.equal(await anna.ask('add', { from: 0, count: 600 }), 0);
  assert.equal(await ben.ask('add', { from: 600, count: 400 }), 0);
  assert.deepEqual(await Promise.all([anna.ask('holds', 1000), ben.ask('holds', 1000)]), [1000, 1000]);
  const clara = await open(stage, url, 'chromium');
  assert.equal(await clara.ask('holds', 1000), 1000);
});

onStage('the listing of docs/CHOOSING.md replicates a database as it stands', async (stage) => {
  const server = await stage.server();
  const code = listing('docs/CHOOSING.md', 'getConnectionHandlerSimplePeer').replace(/^import .*/m, '').replace('ws://localhost:9000/', server.socketUrl);
  const [anna, ben] = [await stage.page('replica'), await stage.page('replica')];
  for (const page of [anna, ben]) await page.ask('run', code);

  await anna.ask('add', { from: 0, count: 10 });

  assert.equal(await ben.ask('holds', 10), 10);
});

onStage('pages of two keys do not meet, and those of one go on without the server', async (stage) => {
  const keys = stage.keys();
  for (const key of ['app', 'other']) await keys.add(key);
  const server = await stage.server(keys.flags);
  const url = (key) => `${server.socketUrl}rxdb?key=${key}`;
  const pages = [];
  for (const key of ['app', 'other', 'app', 'other']) pages.push(await open(stage, url(key)));
  const [anna, other, ben, olga] = pages;
  await Promise.all(pages.map((page) => page.must('met')));
  await server.stop();

  await ben.ask('add', { from: 0, count: 10 });

  assert.equal(await anna.ask('holds', 10), 10);
  await olga.ask('add', { from: 10, count: 1 });
  assert.equal(await other.ask('holds', 1), 1);
  assert.deepEqual(await Promise.all(pages.map((page) => page.count('met'))), [1, 1, 1, 1]);
});

onStage('pages on three nodes share a database', async (stage) => {
  const cluster = await stage.cluster();
  const pages = [];
  for (const node of cluster.nodes) pages.push(await open(stage, `${node.socketUrl}rxdb`));
  for (const page of pages) await Promise.all([page.must('met'), page.must('met')]);

  await pages[2].ask('add', { from: 0, count: 10 });

  for (const page of pages.slice(0, 2)) assert.equal(await page.ask('holds', 10), 10);
});

onNetwork('without a direct path, a database is replicated through the relay', () => Network.apart(), async (stage) => {
  const server = await stage.server(['--relay', stage.network.address]);
  const url = `ws://${server.host}:${server.port}/rxdb`;
  const [anna, ben] = [await stage.page('a', 'replica'), await stage.page('b', 'replica')];
  for (const page of [anna, ben]) await page.ask('open', { url, room: 'notes of May' });
  await Promise.all([anna.must('met'), ben.must('met')]);

  await anna.ask('add', { from: 0, count: 10 });

  assert.equal(await ben.ask('holds', 10), 10);
});

/** A page that has opened its database. */
async function open(stage, url, browser = 'chromium') {
  const page = await stage.page('replica', undefined, browser);
  await page.ask('open', { url, room: 'notes of May' });
  return page;
}
