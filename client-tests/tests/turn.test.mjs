// TURN in the broker: browsers get relayed addresses over UDP, TCP and TLS, and reach each other there.

import assert from 'node:assert/strict';
import { signedFor } from '../lib/authority.mjs';
import { callDemo, partyGame } from '../lib/conversations.mjs';
import { Network } from '../lib/network.mjs';
import { onNetwork } from '../lib/on-network.mjs';
import { browserPairs, isThorough } from '../lib/thorough.mjs';
import { onlyAs, onlyThrough, turnFlags } from '../lib/turn.mjs';

const PORT = 5349;

/** Two clients talk, and see and hear each other, and only through TURN. */
async function meet(stage, server, { caller, callee }) {
  const alice = await stage.client('a', caller.browser);
  const bob = await stage.client('b', callee.browser);
  await bob.open(server, 'bob', callee.user ? onlyAs(callee.user, callee.url) : onlyThrough(callee.url));
  await alice.open(server, 'alice', onlyThrough(caller.url));
  const line = await alice.connect('bob');
  assert.equal(await line.echo('hello'), 'hello');
  const { local, remote } = await alice.way();
  assert.deepEqual([local.type, remote.type], ['relay', 'relay']);
  await alice.call('bob');
  await Promise.all([alice.must('moving picture'), bob.must('moving picture')]);
}

const url = ({ network }, transport) => `turn:${network.address}:${PORT}?transport=${transport}`;

// For a change, Firefox is tested over TCP only.
const overTcp = isThorough ? browserPairs : [['firefox', 'chromium']];

for (const [caller, callee] of browserPairs) {
  onNetwork(`${caller} and ${callee} meet through TURN over UDP`, () => Network.symmetricNats(), async (stage) => {
    const server = await stage.server(turnFlags(stage.network.address));
    const by = (browser) => ({ browser: { browser }, url: url(stage, 'udp') });
    await meet(stage, server, { caller: by(caller), callee: by(callee) });
  });
}

for (const [caller, callee] of overTcp) {
  onNetwork(`${caller} without UDP and ${callee} meet through TURN over TCP`, () => Network.symmetricNats(), async (stage) => {
    const server = await stage.server(turnFlags(stage.network.address));
    stage.network.blockUdp();
    await meet(stage, server, {
      caller: { browser: { browser: caller }, url: url(stage, 'tcp') },
      callee: { browser: { browser: callee }, url: url(stage, 'udp') },
    });
  });
}

onNetwork('a client at the TURN port and one with a fixed password at the port of the relay meet', () => Network.symmetricNats(), async (stage) => {
  const { address } = stage.network;
  const server = await stage.server(['--relay', address, '--relay_mode', 'off', ...turnFlags(address, '--turn_users', 'bob:his')]);
  await meet(stage, server, {
    caller: { browser: {}, url: url(stage, 'udp') },
    callee: { browser: {}, url: `turn:${address}:3478?transport=udp`, user: ['bob', 'his'] },
  });
});

for (const [demo, connect] of /** @type {any[][]} */ ([['party game', partyGame], ...(isThorough ? [['call demo', callDemo]] : [])])) {
  onNetwork(`the ${demo} goes through TURN where there is no other way`, () => Network.apart(), async (stage) => {
    const server = await stage.server(turnFlags(stage.network.address));
    const talk = await connect(stage, server, { a: {}, b: {} });
    await talk.works();
    const [way] = await talk.ways();
    assert.deepEqual([way.local.type, way.remote.type], ['relay', 'relay']);
  });
}

for (const where of ['the port of HTTPS', ...(isThorough ? ['the TURN port'] : [])]) {
  onNetwork(`Chromium without UDP meets another one through TURN over TLS at ${where}`, () => Network.symmetricNats(), async (stage) => {
    const { address } = stage.network;
    const server = await stage.server(turnFlags(address), { tls: true });
    stage.network.blockUdp();
    const port = where === 'the TURN port' ? PORT : server.port;
    const browser = { trustsAll: true };
    await meet(stage, server, {
      caller: { browser, url: `turns:${address}:${port}?transport=tcp` },
      callee: { browser, url: url(stage, 'udp') },
    });
  });
}

// Firefox takes a `turns:` URL only with a host name, and only with a certificate of an authority that it knows.
if (isThorough) {
  onNetwork('Firefox without UDP meets another one through TURN over TLS at the port of HTTPS', () => Network.symmetricNats(), async (stage) => {
    const { address, a } = stage.network;
    const tls = signedFor('broker.test', address);
    const server = await stage.server(turnFlags(address), { tls });
    a.resolve('broker.test', address);
    stage.network.blockUdp();
    const browser = { browser: 'firefox', authority: tls.authority };
    await meet(stage, server, {
      caller: { browser, url: `turns:broker.test:${server.port}?transport=tcp` },
      callee: { browser, url: url(stage, 'udp') },
    });
  });
}

const TURN_PORTS = '50000-50099';
for (const [caller, callee] of browserPairs) {
  onNetwork(`${caller} with TURN reaches ${callee} without, from a server behind a NAT`, () => Network.serverBehindNat(TURN_PORTS), async (stage) => {
    const { address } = stage.network;
    const server = await stage.server(['--relay_public', address, '--turn_ports', TURN_PORTS, ...turnFlags(`0.0.0.0:${PORT}`)]);
    const alice = await stage.client('a', { browser: caller });
    const bob = await stage.client('b', { browser: callee, plainAddresses: true });
    await bob.open(server, 'bob');
    await alice.open(server, 'alice', onlyThrough(url(stage, 'udp')));

    const line = await alice.connect('bob');

    assert.equal(await line.echo('hello'), 'hello');
    const [{ local }, { remote }] = [await alice.way(), await bob.way()];
    assert.deepEqual([local.type, local.address, remote.address], ['relay', address, address]);
  });
}

for (const [caller, callee] of browserPairs) {
  onNetwork(`${caller} and ${callee} meet through TURN of two nodes`, () => Network.twoServers(), async (stage) => {
    const { server: first, second } = stage.network;
    const nodes = await stage.nodes(...[first, second].map(({ at }) => turnFlags(`${at}:${PORT}`, '--turn_ports', TURN_PORTS)));
    const alice = await stage.client('a', { browser: caller });
    const bob = await stage.client('b', { browser: callee });
    const through = ({ at }) => onlyThrough(`turn:${at}:${PORT}?transport=udp`);
    await bob.open(nodes[1], 'bob', through(second));
    await alice.open(nodes[0], 'alice', through(first));

    const line = await alice.connect('bob');

    assert.equal(await line.echo('hello'), 'hello');
    const { local, remote } = await alice.way();
    assert.deepEqual([local.address, remote.address], [first.at, second.at]);
  });
}
