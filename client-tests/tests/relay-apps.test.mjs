// Apps of every kind behind two symmetric NATs, where only the relay is left. None of them knows of it.

import assert from 'node:assert/strict';
import { startRedis } from '../lib/cluster.mjs';
import { says } from '../lib/demos.mjs';
import { Network } from '../lib/network.mjs';
import { onNetwork } from '../lib/on-network.mjs';
import { talking } from '../lib/video.mjs';

const onNats = (behaviour, run) => onNetwork(`behind two symmetric NATs, ${behaviour}`, () => Network.symmetricNats(), run);

const withRelay = (stage, ...flags) => stage.server(['--relay', stage.network.address, ...flags]);

const urlOf = ({ host, port }, path) => `http://${host}:${port}${path}`;

/** The link for others that a page shows. */
const link = (page) => page.locator('#join-link').getAttribute('href');

onNats('the video call comes about', async (stage) => {
  const server = await withRelay(stage);
  const anna = await stage.visit('a', urlOf(server, '/broker/call/'));
  await says(anna, 'ready', 'Waiting for a call');

  const ben = await stage.visit('b', await link(anna));
  await anna.locator('#prompt [data-name="accept"]').click();

  await talking(anna);
  await talking(ben);
});

onNats('a phone joins the party game', async (stage) => {
  const server = await withRelay(stage);
  const host = await stage.visit('a', urlOf(server, '/broker/party/'));
  await says(host, 'ready', 'Waiting for players');

  const phone = await stage.visit('b', await link(host));
  await phone.locator('#name').fill('Anna');
  await phone.locator('#take-seat').click();

  await says(phone, 'connected', 'You are red');
  await says(host, 'connected', '1 player');
});

onNats('a host and a player of a game with simple-peer talk', async (stage) => {
  const server = await withRelay(stage);
  const url = `ws://${server.host}:${server.port}/`;
  const host = await stage.page('a', 'rooms');
  const room = await host.ask('host', url);
  const player = await stage.page('b', 'rooms');
  await player.ask('join', { url, room, username: 'ANNA' });

  assert.equal(await player.must('connected'), 'host');
  assert.equal(await host.must('connected'), 'ANNA');
  await player.ask('say', { to: 'host', text: 'hello' });
  assert.equal(await host.must('heard'), 'ANNA: hello');
});

onNats('pages without a library call each other', async (stage) => {
  const server = await withRelay(stage);
  const url = `ws://${server.host}:${server.port}/`;
  const [anna, ben] = [await stage.page('a', 'calls'), await stage.page('b', 'calls')];
  const [annas, bens] = [await anna.ask('enter', url), await ben.ask('enter', url)];

  await anna.ask('call', bens);

  assert.equal(await ben.must('call'), annas);
  await Promise.all([anna.must('moving picture'), ben.must('moving picture')]);
});

onNats('two clients have several connections at once', async (stage) => {
  const server = await withRelay(stage);
  const [alice, bob] = [await stage.client('a'), await stage.client('b')];
  await bob.open(server, 'bob');
  await alice.open(server, 'alice');

  const lines = [await alice.connect('bob'), await alice.connect('bob')];
  await alice.call('bob');

  await Promise.all([alice.must('moving picture'), bob.must('moving picture')]);
  for (const [number, line] of lines.entries()) assert.equal(await line.echo(`line ${number}`), `line ${number}`);
});

onNats('clients of two nodes of a cluster talk, each called by the other', async (stage) => {
  const redis = await startRedis();
  try {
    const node = (port) => stage.server(['--relay', `${stage.network.address}:${port}`, '--redis', redis.url]);
    const nodes = [await node(3478), await node(3480)];
    const [alice, bob] = [await stage.client('a'), await stage.client('b')];
    await alice.open(nodes[0], 'alice');
    await bob.open(nodes[1], 'bob');

    const hers = await alice.connect('bob');
    const his = await bob.connect('alice');

    assert.equal(await hers.echo('hello'), 'hello');
    assert.equal(await his.echo('hello to you'), 'hello to you');
  } finally {
    await redis.stop();
  }
});
