// Connections that break, and ids that change hands.

import assert from 'node:assert/strict';
import { everyClient } from '../lib/every-client.mjs';

everyClient('reconnects after its connection was cut, and can be called again', { firefox: true }, async (stage) => {
  const server = await stage.server();
  const proxy = await stage.proxy(server);
  const [alice, bob] = [await stage.client(), await stage.client()];
  await alice.open(proxy, 'alice');
  await bob.open(server, 'bob');
  const before = await bob.connect('alice');

  proxy.cut();
  await alice.next('disconnected');
  assert.equal(await alice.reconnect(), 'alice');

  const after = await bob.connect('alice');
  assert.equal(await after.echo('welcome back'), 'welcome back');
  assert.equal(await before.echo('and this still works'), 'and this still works');
});

everyClient('gets its id back when it reloads after a lost network, and logs that it waits', { firefox: true }, async (stage) => {
  // A client from another address would have to wait this long.
  const server = await stage.server(['--reclaim_timeout', '600000']);
  const proxy = await stage.proxy(server);
  const [before, reloaded, bob] = [await stage.client(), await stage.client(), await stage.client()];
  await before.open(proxy, 'alice', { token: 'first' });
  proxy.freeze();
  const logged = [];
  reloaded.listen('console', (message) => logged.push(message.text()));

  assert.equal(await reloaded.open(server, 'alice', { token: 'second', debug: 2 }), 'alice');

  assert.match(logged.join('\n'), /You received an unrecognized message/);
  await bob.open(server, 'bob');
  const line = await bob.connect('alice');
  assert.equal(await line.echo('back again'), 'back again');
});
