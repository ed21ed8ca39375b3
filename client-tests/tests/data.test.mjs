import assert from 'node:assert/strict';
import { everyClient } from '../lib/every-client.mjs';

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

everyClient('exchanges strings as they are', { firefox: true }, async (stage) => {
  const [alice] = await twoClients(stage);

  const line = await alice.connect('bob', { serialization: stage.release.asIs, reliable: true });

  assert.equal(await line.echo('plain'), 'plain');
});

everyClient('exchanges bytes, a few and a megabyte', { firefox: true }, async (stage) => {
  const [alice] = await twoClients(stage);

  const line = await alice.connect('bob', { serialization: 'binary', reliable: true });

  assert.ok(await line.echoBytes(300), '300 bytes');
  assert.ok(await line.echoBytes(1 << 20), '1 MiB');
});

everyClient('reaches a peer in both directions of calling', {}, async (stage) => {
  const [alice, bob] = await twoClients(stage);

  const there = await alice.connect('bob');
  const back = await bob.connect('alice');

  assert.equal(await there.echo('to bob'), 'to bob');
  assert.equal(await back.echo('to alice'), 'to alice');
});
