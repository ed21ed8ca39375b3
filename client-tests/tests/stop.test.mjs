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

const closesInTime = { unless: (release) => release.closesLate };

everyClient('stays reachable through an update if it reconnects', closesInTime, async (stage) => {
  const flags = ['--reuse_port', '--drain_timeout', '1000'];
  const old = await stage.server(flags);
  const [alice, bob] = [await stage.client(), await stage.client()];
  await alice.open(old, 'alice');
  await bob.open(old, 'bob');
  const before = await bob.connect('alice');

  await stage.server([...flags, '--port', String(old.port)]);
  old.signal('SIGTERM');
  const reconnect = async (client) => {
    await client.next('disconnected');
    return client.reconnect();
  };
  assert.deepEqual(await Promise.all([alice, bob].map(reconnect)), ['alice', 'bob']);
  assert.deepEqual(await within('the old server to exit', old.exited), { code: 0, signal: null });

  const after = await bob.connect('alice');
  assert.equal(await after.echo('on the new server'), 'on the new server');
  assert.equal(await before.echo('and this still works'), 'and this still works');
});
