import assert from 'node:assert/strict';
import { everyClient } from '../lib/every-client.mjs';

everyClient('reaches a peer that comes a little later', {}, async (stage) => {
  const server = await stage.server();
  const [alice, bob] = [await stage.client(), await stage.client()];
  await alice.open(server, 'alice');

  await alice.dial('bob');
  await alice.frame('sent', 'CANDIDATE');
  await bob.open(server, 'bob');

  await alice.must('line open');
  assert.equal(await bob.must('connection'), 'alice');
  assert.equal(alice.received('EXPIRE').length, 0);
});

everyClient('hears once that a peer is absent', {}, async (stage) => {
  const server = await stage.server(['--expire_timeout', '1000']);
  const alice = await stage.client();
  await alice.open(server, 'alice');

  await alice.dial('nobody');
  assert.equal((await alice.next('error')).detail, 'peer-unavailable');
  // A second EXPIRE for the first peer would arrive before the one for another peer.
  await alice.dial('nobody-else');
  assert.equal((await alice.next('error')).detail, 'peer-unavailable');

  assert.deepEqual(alice.received('EXPIRE').map((frame) => frame.src), ['nobody', 'nobody-else']);
  assert.equal(await alice.count('error'), 2);
  assert.equal(await alice.count('disconnected'), 0);
});
