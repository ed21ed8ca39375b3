// Calls through the relay behind two symmetric NATs that matrix.test.mjs does not have.

import assert from 'node:assert/strict';
import { Network } from '../lib/network.mjs';
import { onNetwork } from '../lib/on-network.mjs';
import { browserPairs, isThorough } from '../lib/thorough.mjs';

const behindNats = (behaviour, run) => onNetwork(`behind two symmetric NATs, ${behaviour}`, () => Network.symmetricNats(), run);

const withRelay = (stage, ...flags) => stage.server(['--relay', stage.network.address, ...flags]);

const socketOf = ({ host, port }) => `ws://${host}:${port}/`;

behindNats('a host and a player of a room code talk with simple-peer', async (stage) => {
  const server = await withRelay(stage);
  const [host, player] = [await stage.page('a', 'rooms'), await stage.page('b', 'rooms')];
  await playTogether(server, host, player);
});

// The host checks at once and answers 5 s later. Browsers open no second TCP connection in place of one that was closed meanwhile.
for (const [withoutUdp, browser] of isThorough ? [['host', 'chromium'], ['host', 'firefox'], ['player', 'chromium']] : []) {
  onNetwork(`a ${withoutUdp} without UDP in ${browser} plays with simple-peer's own servers`, () => Network.apart(), async (stage) => {
    const server = await withRelay(stage);
    stage.network.blockUdp();
    const without = await stage.page('a', 'rooms', { browser });
    const other = await stage.page('b', 'rooms');
    const [host, player] = withoutUdp === 'host' ? [without, other] : [other, without];
    await Promise.all([host.ask('useDefaultServers'), player.ask('useDefaultServers')]);
    await playTogether(server, host, player);
  });
}

async function playTogether(server, host, player) {
  const url = socketOf(server);
  const room = await host.ask('host', url);
  await player.ask('join', { url, room, username: 'ANNA' });
  assert.deepEqual([await player.must('connected'), await host.must('connected')], ['host', 'ANNA']);
  await player.ask('say', { to: 'host', text: 'hello' });
  assert.equal(await host.must('heard'), 'ANNA: hello');
  await host.ask('say', { to: 'ANNA', text: 'welcome' });
  assert.equal(await player.must('heard'), 'host: welcome');
}

for (const [caller, callee] of browserPairs) {
  behindNats(`one-to-one calls of ${caller} and ${callee} come about`, async (stage) => {
    const url = socketOf(await withRelay(stage));
    const [anna, ben] = [await stage.page('a', 'calls', { browser: caller }), await stage.page('b', 'calls', { browser: callee })];
    const [, bens] = [await anna.ask('enter', url), await ben.ask('enter', url)];
    await anna.ask('call', bens);
    await Promise.all([anna.must('moving picture'), ben.must('moving picture')]);
    const both = { sent: ['audio', 'video'], received: ['audio', 'video'] };
    assert.deepEqual([await anna.ask('media'), await ben.ask('media')], [both, both]);
  });
}

behindNats('a page loads a file that another one seeds with WebTorrent', async (stage) => {
  const url = socketOf(await withRelay(stage, '--dialects', 'tracker'));
  const [anna, ben] = [await stage.page('a', 'torrents'), await stage.page('b', 'torrents')];
  const text = 'hello '.repeat(20_000);
  const magnet = await anna.ask('seed', { url, text });

  assert.equal(await ben.ask('load', magnet), text);

  const others = new Set((await ben.ask('ways')).map(({ remote }) => remote.address));
  assert.deepEqual([...others], [stage.network.address]);
});

for (const [first, second] of browserPairs) {
  behindNats(`peers of Matchbox in ${first} and ${second} talk`, async (stage) => {
    const { address } = stage.network;
    const url = `${socketOf(await withRelay(stage, '--dialects', 'matchbox'))}matchbox/duel?next=2`;
    const [anna, ben] = [await stage.page('a', 'matchbox', { browser: first }), await stage.page('b', 'matchbox', { browser: second })];
    const [annas, bens] = [await anna.ask('enter', url), await ben.ask('enter', url)];
    assert.deepEqual(await Promise.all([anna.must('met'), ben.must('met')]), [bens, annas]);

    await anna.ask('say', { to: bens, text: 'hello' });
    assert.equal(await ben.must('heard'), 'hello');
    await ben.ask('say', { to: annas, text: 'welcome' });
    assert.equal(await anna.must('heard'), 'welcome');

    const ways = await Promise.all([anna.ask('way', bens), ben.ask('way', annas)]);
    assert.deepEqual(ways.map(({ remote }) => remote.address), [address, address]);
  });
}

behindNats('two peers have two data connections and a call at the same time', async (stage) => {
  const server = await withRelay(stage);
  const [alice, bob] = [await stage.client('a'), await stage.client('b')];
  await bob.open(server, 'bob');
  await alice.open(server, 'alice');
  const [one, other] = [await alice.connect('bob'), await alice.connect('bob')];
  await alice.call('bob');
  await Promise.all([alice.must('moving picture'), bob.must('moving picture')]);
  assert.equal(await one.echo('one'), 'one');
  assert.equal(await other.echo('other'), 'other');
});

behindNats('peers on two nodes of a cluster talk, whichever of them calls', async (stage) => {
  const { address } = stage.network;
  const [first, second] = await stage.nodes(['--relay', address], ['--relay', `${address}:3479`]);
  const [alice, bob] = [await stage.client('a'), await stage.client('b')];
  await alice.open(first, 'alice');
  await bob.open(second, 'bob');
  const [there, back] = [await alice.connect('bob'), await bob.connect('alice')];
  assert.equal(await there.echo('there'), 'there');
  assert.equal(await back.echo('back'), 'back');
});

behindNats('a call goes on after an ICE restart', async (stage) => {
  const url = socketOf(await withRelay(stage));
  const [anna, ben] = [await stage.page('a', 'calls'), await stage.page('b', 'calls')];
  const [, bens] = [await anna.ask('enter', url), await ben.ask('enter', url)];
  await anna.ask('call', bens);
  await Promise.all([anna.must('moving picture'), ben.must('moving picture')]);

  await anna.ask('restart');

  // On the pair of candidates that the new descriptions have led to.
  await Promise.all([anna.ask('restarted'), ben.ask('restarted')]);
});
