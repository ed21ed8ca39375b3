import assert from 'node:assert/strict';
import { everyClient } from '../lib/every-client.mjs';

everyClient('lists all peers where discovery is on', {}, async (stage) => {
  const server = await stage.server(['--allow_discovery']);
  const [alice, bob] = [await stage.client(), await stage.client()];
  await alice.open(server, 'alice');
  await bob.open(server, 'bob');

  assert.deepEqual(await alice.list(), ['alice', 'bob']);
});

everyClient('lists nobody where discovery is off', {}, async (stage) => {
  const server = await stage.server();
  const alice = await stage.client();
  await alice.open(server, 'alice');

  const expected = stage.release.refusedListing === 'an empty list' ? [] : 'server-error';
  assert.deepEqual(await alice.list(), expected);
});
