// The networks of the tests are what they claim to be, for programs and for browsers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MOVES, Network, noNetworks } from '../lib/network.mjs';
import { ask, reachByTcp, startEcho } from '../lib/network/programs.mjs';
import { onNetwork } from '../lib/on-network.mjs';
import { browsers, isThorough } from '../lib/thorough.mjs';
import { LIMIT } from '../lib/within.mjs';

/** Runs a test in a network where every machine answers. */
function inNetwork(behaviour, lay, run) {
  test(behaviour, { skip: noNetworks, timeout: LIMIT }, async (t) => {
    const network = lay();
    t.after(() => network.stop());
    await Promise.all([network.a, network.b, network.server].map(startEcho));
    await run(network);
  });
}

const NOBODY = [];

inNetwork('hosts that are apart reach the server and not each other', () => Network.apart(), async ({ a, b, address }) => {
  assert.deepEqual((await ask(a, b.at, address))[0], NOBODY);
  assert.deepEqual((await ask(b, a.at, address))[0], NOBODY);
});

inNetwork('a symmetric NAT uses another port for each address', () => Network.symmetricNats(), async ({ a, b, address }) => {
  for (const host of [a, b]) {
    const [[first, second]] = await ask(host, address);
    assert.notEqual(first, second);
  }
  const [inside, outside] = await ask(a, b.at, '192.0.2.2', address);
  assert.deepEqual([inside, outside], [NOBODY, NOBODY]);
});

inNetwork('hosts that are together reach each other until their path is cut', () => Network.together(), async (network) => {
  const { a, address } = network;
  const other = network.b.at;
  await ask(a, other);

  network.cutDirectPath();
  assert.deepEqual((await ask(a, other, address))[0], NOBODY);

  network.mendDirectPath();
  await ask(a, other);
});

for (const how of isThorough ? MOVES : MOVES.slice(-1)) {
  inNetwork(`a host that moves reaches everybody as before: ${how}`, () => Network.together(), async (network) => {
    await network.move(how);
    await ask(network.a, network.b.at, network.address);
  });
}

for (const [name, lay] of [['a host', () => Network.apart()], ['a NAT', () => Network.symmetricNats()]]) {
  inNetwork(`without UDP, ${name} reaches the server by TCP`, lay, async (network) => {
    network.blockUdp();

    await reachByTcp(network.a, network.address);
    assert.deepEqual((await ask(network.a, network.address, network.a.at))[0], NOBODY);
    await ask(network.b, network.address);
  });
}

for (const browser of browsers) {
  onNetwork(`${browser} on one host sees and hears ${browser} on another`, () => Network.together(), async (stage) => {
    const server = await stage.server();
    const alice = await stage.client('a', { browser, plainAddresses: true });
    const bob = await stage.client('b', { browser, plainAddresses: true });
    await bob.open(server, 'bob');
    await alice.open(server, 'alice');

    await alice.call('bob');

    await Promise.all([alice.must('moving picture'), bob.must('moving picture')]);
    const { local, remote } = await alice.way();
    assert.deepEqual([local.address, remote.address], [stage.network.a.at, stage.network.b.at]);
  });
}
