import assert from 'node:assert/strict';
import { everyClient } from '../lib/every-client.mjs';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

everyClient('opens with an id that the server gives', { firefox: true }, async (stage) => {
  const server = await stage.server();
  const alice = await stage.client();

  assert.match(await alice.open(server), UUID);
});

everyClient('opens with an id of its own', { firefox: true }, async (stage) => {
  const server = await stage.server();
  const alice = await stage.client();

  assert.equal(await alice.open(server, 'alice'), 'alice');
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

const honoursKey = { unless: (release) => !release.honoursKey };

everyClient('opens with the right key', honoursKey, async (stage) => {
  const server = await stage.server(['--key', 'sesame']);
  const alice = await stage.client();

  assert.equal(await alice.open(server, 'alice', { key: 'sesame' }), 'alice');
});

everyClient('hears an error for a wrong key', honoursKey, async (stage) => {
  const server = await stage.server(['--key', 'sesame']);
  const alice = await stage.client();

  await alice.start(server, 'alice', { key: 'barley' });
  const answer = await alice.next('open', 'error');

  assert.equal(answer.name, 'error');
  assert.match(answer.detail, /^(invalid-key|server-error)$/);
});
