// RxDB, unchanged, replicates a database between pages that have met at `{path}rxdb`.

import assert from 'node:assert/strict';
import { onStage } from '../lib/every-client.mjs';
import { listing } from '../lib/listings.mjs';

onStage('the listing of docs/CHOOSING.md replicates a database as it stands', async (stage) => {
  const server = await stage.server();
  const code = listing('docs/CHOOSING.md', 'getConnectionHandlerSimplePeer').replace(/^import .*/m, '').replace('ws://localhost:9000/', server.socketUrl);
  const [anna, ben] = [await stage.page('replica'), await stage.page('replica')];
  for (const page of [anna, ben]) await page.ask('run', code);

  await anna.ask('add', { from: 0, count: 10 });

  assert.equal(await ben.ask('holds', 10), 10);
});
