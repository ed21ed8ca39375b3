// One broker of three nodes: clients are on different nodes and must not notice.

import assert from 'node:assert/strict';
import { onStage } from '../lib/every-client.mjs';

const RELEASE = '1.5.5';

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
