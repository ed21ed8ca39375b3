// API keys of a data directory: access, separation, and changes at run time.

import assert from 'node:assert/strict';
import { everyClient, onStage } from '../lib/every-client.mjs';
import { isThorough } from '../lib/thorough.mjs';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const FOREIGN = 'This origin may not use the key';

const honoursKey = { unless: (release) => !release.honoursKey };
const inFirefoxToo = { ...honoursKey, firefox: isThorough };

everyClient('a page of the origin that a key names opens, and one of another never', inFirefoxToo, async (stage) => {
  const { server, ours, theirs } = await withOrigin(stage);
  const [alice, bob] = [await stage.client(undefined, ours), await stage.client(undefined, ours)];
  const [named, nameless] = [await stage.client(undefined, theirs), await stage.client(undefined, theirs)];
  await bob.open(server, 'bob', { key: 'app' });

  await named.start(server, 'mallory', { key: 'app' });
  await refused(named, FOREIGN);
  // It requests an id over HTTP; releases report the refusal differently.
  await nameless.start(server, undefined, { key: 'app' });
  assert.deepEqual(await nameless.next('open', 'error'), { name: 'error', detail: 'server-error' });

  assert.match(await alice.open(server, undefined, { key: 'app' }), UUID);
  await talk(alice, bob, 'bob');
  for (const foreign of [named, nameless]) assert.equal(await foreign.count('open'), 0);
});

// Browsers send no `Origin` on same-origin requests.
onStage('a page that the server itself serves gets an id, if the key names its origin', async (stage) => {
  const ours = await stage.site();
  const keys = stage.keys();
  const server = await stage.server(keys.flags);
  const origin = `http://127.0.0.1:${server.port}`;
  const early = await stage.client('1.5.5', ours);
  const page = await stage.page('broker/', { url: (name) => `${origin}/${name}` });
  await keys.add('app', '--origin', ours.origin, '--origin', origin);
  await early.openAtLast(server, 'early', { key: 'app' });

  const { status, text } = await page.run(get, `${origin}/app/id`);

  assert.equal(status, 200, text);
  assert.match(text, UUID);
});

everyClient('a key comes, goes and comes back while the server runs', inFirefoxToo, async (stage) => {
  const keys = stage.keys();
  await keys.add('other');
  const server = await stage.server(keys.flags);
  const [alice, bob, early, stranger] = [
    await stage.client(), await stage.client(), await stage.client(), await stage.client(),
  ];
  await stranger.open(server, 'alice', { key: 'other' });
  await early.start(server, 'early', { key: 'app' });
  await refused(early, 'Invalid key provided');

  await keys.add('app');
  await alice.openAtLast(server, 'alice', { key: 'app' });
  await bob.open(server, 'bob', { key: 'app' });
  const line = await alice.connect('bob');
  assert.equal(await line.echo('here'), 'here');

  await keys.disable('app');
  await Promise.all([alice.next('disconnected'), bob.next('disconnected')]);
  await assert.rejects(alice.reconnect(), /error instead of open/);
  assert.equal((await alice.next('error text')).detail, 'Invalid key provided');
  await alice.next('disconnected');
  assert.equal(await line.echo('and without the server'), 'and without the server');

  await keys.enable('app');
  // Uses another client, which retries: older releases lose track of their sockets after two refusals.
  await early.openAtLast(server, 'early', { key: 'app' });
  for (const client of [alice, bob]) await client.reconnect();
  await talk(bob, alice, 'alice');
  assert.equal(await stranger.count('disconnected'), 0);
});

/** A server with a key for the pages of one of two sites. */
async function withOrigin(stage) {
  const [ours, theirs] = [await stage.site(), await stage.site()];
  const keys = stage.keys();
  await keys.add('app', '--origin', ours.origin);
  return { server: await stage.server(keys.flags), ours, theirs };
}

/** Waits for an error with this text; the client must not open. */
async function refused(client, text) {
  assert.deepEqual(await client.next('open', 'error'), { name: 'error', detail: 'server-error' });
  assert.equal((await client.next('error text')).detail, text);
  assert.equal(await client.count('open'), 0);
}

async function talk(from, to, id) {
  const line = await from.connect(id);
  assert.equal(await line.echo('hello'), 'hello');
  await to.must('connection');
}

const get = async (url) => {
  const answer = await fetch(url);
  return { status: answer.status, text: await answer.text() };
};
