// The page of a peer goes away.

import assert from 'node:assert/strict';
import { everyClient } from '../lib/every-client.mjs';

/** Bob, to whom Alice has a data connection and Carol a call. Not both to one page: PeerJS 1.x closes each second connection only. */
async function bobWithFriends(stage, flags) {
  const server = await stage.server(flags);
  const [alice, bob, carol] = [await stage.client(), await stage.client(), await stage.client()];
  for (const [name, client] of Object.entries({ alice, bob, carol })) await client.open(server, name);
  const line = await alice.connect('bob');
  assert.equal(await line.echo('hello'), 'hello');
  await carol.call('bob');
  await carol.must('moving picture');
  return { server, alice, bob, carol };
}

everyClient('hears `close` when the other page goes away', { firefox: true }, async (stage) => {
  const { alice, bob, carol } = await bobWithFriends(stage, ['--leave_on_close']);

  await bob.close();

  await alice.must('line close');
  await carol.must('call close');
  if (stage.browser === 'firefox') return;
  for (const client of [alice, carol]) {
    const { src } = await client.frame('received', 'LEAVE');
    assert.equal(src, 'bob');
  }
});

everyClient('hears nothing from the broker of a page that goes away, by default', {}, async (stage) => {
  const { server, alice, bob, carol } = await bobWithFriends(stage, []);

  await bob.close();

  await server.line(/^Client disconnected: bob$/);
  // On the way of what the broker would have said.
  const line = await carol.connect('alice');
  assert.equal(await line.echo('are you there?'), 'are you there?');
  assert.deepEqual([...alice.received('LEAVE'), ...carol.received('LEAVE')], []);
});
