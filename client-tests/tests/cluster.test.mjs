// One broker of three nodes: clients are on different nodes and must not notice.

import assert from 'node:assert/strict';
import { everyClient, onStage } from '../lib/every-client.mjs';
import { watchTransports } from '../lib/http-watch.mjs';

const RELEASE = '1.5.5';

onStage('eight pages spread over all nodes connect with each other', async (stage) => {
  const cluster = await stage.cluster();
  const names = Array.from({ length: 8 }, (_, number) => `peer-${number}`);
  const clients = await Promise.all(names.map(() => stage.client(RELEASE)));
  await Promise.all(clients.map((client, i) => client.open(cluster, names[i])));

  for (const [i, client] of clients.entries()) {
    const lines = await Promise.all(names.slice(0, i).map((name) => client.connect(name)));
    for (const [j, line] of lines.entries()) assert.equal(await line.echo(`${i} to ${j}`), `${i} to ${j}`);
  }
});

onStage('a page on one node calls a page on another while a third node is killed', async (stage) => {
  const cluster = await stage.cluster();
  const [alice, bob, dora] = [await stage.client(RELEASE), await stage.client(RELEASE), await stage.client(RELEASE)];
  await alice.open(cluster.nodes[0], 'alice');
  await dora.open(cluster.nodes[1], 'dora');
  await bob.open(cluster.nodes[2], 'bob');

  await Promise.all([cluster.kill(1), alice.call('bob')]);

  await Promise.all([alice.must('moving picture'), bob.must('moving picture')]);
  await dora.next('disconnected');
  const line = await bob.connect('alice');
  assert.equal(await line.echo('still here'), 'still here');
  assert.deepEqual([await alice.count('disconnected'), await bob.count('disconnected')], [0, 0]);
});

onStage('a page of a node that is killed comes back on another, under its id', async (stage) => {
  const cluster = await stage.cluster();
  const [alice, bob, clara] = [await stage.client(RELEASE), await stage.client(RELEASE), await stage.client(RELEASE)];
  for (const [client, name] of [[alice, 'alice'], [bob, 'bob'], [clara, 'clara']]) await client.open(cluster, name);
  const before = await bob.connect('alice');
  const [hers, others] = [await cluster.nodeOf('alice'), [await cluster.nodeOf('bob'), await cluster.nodeOf('clara')]];
  assert.ok(!others.includes(hers));

  await cluster.kill(hers);
  await alice.next('disconnected');
  assert.equal(await alice.reconnect(), 'alice');

  const talks = async (client) => {
    const line = await client.connect('alice');
    assert.equal(await line.echo('welcome back'), 'welcome back');
    assert.equal(await client.count('disconnected'), 0);
  };
  // The last candidates of the first connection may have been on their way, and then bob is told of each that it is in doubt.
  const despiteDoubts = (what, doubts = 5) => what().catch((error) => {
    assert.match(String(error), /error peer-unavailable/);
    assert.ok(doubts > 0, error);
    return despiteDoubts(what, doubts - 1);
  });
  await despiteDoubts(() => talks(bob));
  await talks(clara);
  await despiteDoubts(async () => assert.equal(await before.echo('and this still works'), 'and this still works'));
});

onStage('all nodes are updated one after the other, and every page reconnects at its first try', async (stage) => {
  const cluster = await stage.cluster();
  const names = ['alice', 'bob', 'clara', 'dora', 'emil'];
  const clients = await Promise.all(names.map(() => stage.client(RELEASE)));
  for (const [i, client] of clients.entries()) {
    await client.open(cluster, names[i]);
    await client.stay();
  }

  let moved = 0;
  for (const number of cluster.nodes.keys()) {
    const nodes = await Promise.all(names.map((name) => cluster.nodeOf(name)));
    const here = clients.filter((_, i) => nodes[i] === number);
    const back = here.map(async (client) => assert.equal((await client.next('back', 'failed')).name, 'back'));
    await Promise.all([cluster.update(number), ...back]);
    moved += here.length;
  }

  assert.ok(moved >= names.length, `${moved} moves`);
  for (const [i, client] of clients.entries()) {
    for (const name of names.slice(0, i)) {
      const line = await client.connect(name);
      assert.equal(await line.echo(`to ${name}`), `to ${name}`);
    }
  }
});

const streaming = (behaviour, run) => everyClient(behaviour, { unless: (release) => !release.streams }, run);

streaming('opens and talks over HTTP alone, with each request on another node', async (stage) => {
  const cluster = await stage.cluster({ sockets: false });
  const [alice, bob] = [await stage.client(), await stage.client()];
  for (const client of [alice, bob]) await watchTransports(client);
  assert.equal(await bob.open(cluster, 'bob'), 'bob');
  const alices = await alice.open(cluster);

  for (const [one, other] of [[alice, 'bob'], [bob, alices]]) {
    const line = await one.connect(other);
    assert.equal(await line.echo('by HTTP'), 'by HTTP');
  }

  for (const client of [alice, bob]) {
    assert.equal(await client.count('open'), 1);
    assert.equal(await client.count('socket open'), 0);
  }
});

streaming('opens once, with its stream and its WebSocket on different nodes', async (stage) => {
  const cluster = await stage.cluster();
  const [alice, bob] = [await stage.client(), await stage.client()];
  for (const client of [alice, bob]) await watchTransports(client);
  await bob.open(cluster, 'bob');
  await alice.open(cluster, 'alice');
  for (const client of [alice, bob]) {
    await client.must('socket open');
    await client.must('stream line');
  }

  const line = await alice.connect('bob');

  assert.equal(await line.echo('once'), 'once');
  for (const client of [alice, bob]) assert.equal(await client.count('open'), 1);
});

onStage('players on other nodes than their host find it by its code, and talk', async (stage) => {
  const { nodes } = await stage.cluster();
  const host = await stage.page('rooms');
  const room = await host.ask('host', nodes[0].socketUrl);
  assert.match(room, /^[A-Z]{4}$/);

  for (const [number, username] of ['ANNA', 'BEN', 'CLARA'].entries()) {
    const player = await stage.page('rooms');
    await player.ask('join', { url: nodes[number].socketUrl, room, username });
    assert.equal(await player.must('connected'), 'host');
    assert.equal(await host.must('connected'), username);
    await player.ask('say', { to: 'host', text: `I am ${username}` });
    assert.equal(await host.must('heard'), `${username}: I am ${username}`);
    await host.ask('say', { to: username, text: `you are ${username}` });
    assert.equal(await player.must('heard'), `host: you are ${username}`);
  }

  await host.ask('leave');
  const late = await stage.page('rooms');
  await late.ask('join', { url: nodes[1].socketUrl, room, username: 'DORA' });
  assert.equal(await late.must('refused'), 'wrong room');
});

onStage('two pages on different nodes call each other as tutorials do', async (stage) => {
  const { nodes } = await stage.cluster();
  const [anna, ben] = [await stage.page('calls'), await stage.page('calls')];
  const annas = await anna.ask('enter', nodes[0].socketUrl);
  await ben.ask('enter', nodes[2].socketUrl);
  await ben.ask('say', { action: 'start' });
  const bens = await ben.must('id');

  await anna.ask('call', bens);

  assert.equal(await ben.must('call'), annas);
  await Promise.all([anna.must('moving picture'), ben.must('moving picture')]);
});
