import assert from 'node:assert/strict';
import { everyClient } from '../lib/every-client.mjs';

everyClient('works over https and wss', { firefox: true }, async (stage) => {
  const server = await stage.server([], { tls: true });
  const [alice, bob] = [await stage.client(), await stage.client()];
  await bob.open(server, 'bob');
  await alice.open(server);

  const line = await alice.connect('bob');

  assert.equal(await line.echo('sealed'), 'sealed');
});
