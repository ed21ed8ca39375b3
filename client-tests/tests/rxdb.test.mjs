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
