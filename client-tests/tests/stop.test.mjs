import assert from 'node:assert/strict';
import { everyClient } from '../lib/every-client.mjs';
import { within } from '../lib/within.mjs';

everyClient('is told when the server stops, and the server exits with 0', {}, async (stage) => {
  const server = await stage.server();
  const [alice, bob] = [await stage.client(), await stage.client()];
  await alice.open(server, 'alice');
  await bob.open(server, 'bob');

  server.signal('SIGTERM');

  await Promise.all([alice.next('disconnected'), bob.next('disconnected')]);
  assert.deepEqual(await within('the server to exit', server.exited), { code: 0, signal: null });
});
