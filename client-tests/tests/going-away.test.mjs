// The page of a peer goes away.

import assert from 'node:assert/strict';
import { everyClient } from '../lib/every-client.mjs';

everyClient('hears `close` when the other page goes away', { firefox: true }, async (stage) => {
  const server = await stage.server(['--leave_on_close']);
  // A data connection and a call, not both to one page: PeerJS 1.x closes each second connection only.
  const [alice, bob, carol] = [await stage.client(), await stage.client(), await stage.client()];
  for (const [name, client] of Object.entries({ alice, bob, carol })) await client.open(server, name);
  const line = await alice.connect('bob');
  assert.equal(await line.echo('hello'), 'hello');
  await carol.call('bob');
  await carol.must('moving picture');

  await bob.close();

  await alice.must('line close');
  await carol.must('call close');
  if (stage.browser === 'firefox') return;
  for (const client of [alice, carol]) {
    const { src } = await client.frame('received', 'LEAVE');
    assert.equal(src, 'bob');
  }
});
