// PeerJS and one server: ids, data, calls, TLS, absent peers, discovery, and the end of the server. All in one file, so that
// one Firefox serves them: it starts slower than any of them runs.

import assert from 'node:assert/strict';
import { everyClient } from '../lib/every-client.mjs';
import { within } from '../lib/within.mjs';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

everyClient('opens with an id that the server gives', { firefox: true }, async (stage) => {
  const server = await stage.server();
  const alice = await stage.client();

  assert.match(await alice.open(server), UUID);
});

everyClient('is refused an id that is taken, and its holder is undisturbed', { firefox: true }, async (stage) => {
  const server = await stage.server();
  const [holder, intruder, bob] = [await stage.client(), await stage.client(), await stage.client()];
  await holder.open(server, 'alice', { token: 'holders' });

  await intruder.start(server, 'alice', { token: 'intruders' });
  const answer = await intruder.next('open', 'error');

  assert.deepEqual(answer, { name: 'error', detail: 'unavailable-id' });
  assert.equal(await holder.count('disconnected'), 0);
  await bob.open(server, 'bob');
  const line = await bob.connect('alice');
  assert.equal(await line.echo('still you?'), 'still you?');
  assert.deepEqual(await holder.must('connection'), 'bob');
});

async function twoClients(stage) {
  const server = await stage.server();
  const [alice, bob] = [await stage.client(), await stage.client()];
  await bob.open(server, 'bob');
  await alice.open(server, 'alice');
  return [alice, bob];
}

everyClient('exchanges data as json', { firefox: true }, async (stage) => {
  const [alice, bob] = await twoClients(stage);
  const value = { text: 'grüß dich 👋', list: [1, 2.5, null, true], nested: { empty: '' } };

  const line = await alice.connect('bob', { serialization: 'json', reliable: true });

  assert.deepEqual(await line.echo(value), value);
  assert.equal(await bob.must('connection'), 'alice');
});

everyClient('exchanges bytes, a few and a megabyte', { firefox: true }, async (stage) => {
  const [alice] = await twoClients(stage);

  const line = await alice.connect('bob', { serialization: 'binary', reliable: true });

  assert.ok(await line.echoBytes(300), '300 bytes');
  assert.ok(await line.echoBytes(1 << 20), '1 MiB');
});

everyClient('sees and is seen in a call', { firefox: true }, async (stage) => {
  const server = await stage.server();
  const [alice, bob] = [await stage.client(), await stage.client()];
  await bob.open(server, 'bob');
  await alice.open(server, 'alice');

  await alice.call('bob');

  await bob.must('call');
  await Promise.all([alice.must('moving picture'), bob.must('moving picture')]);
});

everyClient('works over https and wss', { firefox: true }, async (stage) => {
  const server = await stage.server([], { tls: true });
  const [alice, bob] = [await stage.client(), await stage.client()];
  await bob.open(server, 'bob');
  await alice.open(server);

  const line = await alice.connect('bob');

  assert.equal(await line.echo('sealed'), 'sealed');
});

everyClient('reaches a peer that comes a little later', {}, async (stage) => {
  const server = await stage.server();
  const [alice, bob] = [await stage.client(), await stage.client()];
  await alice.open(server, 'alice');

  const number = await alice.dial('bob');
  await alice.frame('sent', 'CANDIDATE');
  await bob.open(server, 'bob');

  await alice.must(`line ${number} open`);
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

everyClient('lists nobody where discovery is off', {}, async (stage) => {
  const server = await stage.server();
  const alice = await stage.client();
  await alice.open(server, 'alice');

  const expected = stage.release.refusedListing === 'an empty list' ? [] : 'server-error';
  assert.deepEqual(await alice.list(), expected);
});

everyClient('lists those who are near', { firefox: true }, async (stage) => {
  const server = await stage.server(['--allow_discovery', 'near']);
  const [alice, bob] = [await stage.client(), await stage.client()];
  await alice.open(server, 'alice');
  await bob.open(server, 'bob');

  assert.deepEqual(await alice.list(), ['alice', 'bob']);
});

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
