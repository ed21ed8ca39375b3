// Calls of unmodified clients take the direct way or the relay. matrix.test.mjs shows that they are established at all.

import assert from 'node:assert/strict';
import { Network } from '../lib/network.mjs';
import { onNetwork } from '../lib/on-network.mjs';
import { browserPairs, browsers, isThorough } from '../lib/thorough.mjs';
import { until } from '../lib/within.mjs';

const withRelay = (stage, ...flags) => stage.server(['--relay', ...flags]);

/** Two clients with a data connection. */
async function connected(stage, server, { caller = {}, callee = {} } = {}) {
  const [alice, bob] = [await stage.client('a', caller), await stage.client('b', callee)];
  await bob.open(server, 'bob');
  await alice.open(server, 'alice');
  return { alice, bob, line: await alice.connect('bob') };
}

const isRelayed = async (client, { network }) => (await client.way()).remote.address === network.address;

onNetwork('in Chromium, a connection that has gone directly outlives its direct path', () => Network.together(), async (stage) => {
  const server = await withRelay(stage);
  const plain = { plainAddresses: true };
  // Without delay, the direct path is often faster than the first check of the relay. So it comes later here.
  stage.network.cutDirectPath();
  const { alice, line } = await connected(stage, server, { caller: plain, callee: plain });
  stage.network.mendDirectPath();
  await until('the direct path', async () => !(await isRelayed(alice, stage)));
  await until('Chromium to give up the ways that do not work', async () => !(await alice.way()).isTrying);
  assert.ok(!(await isRelayed(alice, stage)));

  stage.network.cutDirectPath();

  assert.equal(await line.echo('after'), 'after');
  assert.ok(await isRelayed(alice, stage));
});

for (const [caller, callee] of browserPairs) {
  const who = `${caller} and ${callee}`;
  onNetwork(`on one network, ${who} talk directly`, () => Network.together(), async (stage) => {
    const server = await withRelay(stage);
    const at = (browser) => ({ browser, plainAddresses: true });
    const { alice, line } = await connected(stage, server, { caller: at(caller), callee: at(callee) });
    assert.equal(await line.echo('hello'), 'hello');
    assert.ok(!(await isRelayed(alice, stage)));
  });
}

for (const [caller, callee, blocked] of /** @type {any[][]} */ ([
  ['firefox', 'chromium', ['a', 'b']],
  ...(isThorough ? [['chromium', 'firefox', ['b']], ['chromium', 'chromium', ['a', 'b']]] : []),
])) {
  const side = blocked.length === 2 ? 'either side' : `the side of ${blocked[0] === 'a' ? caller : callee}`;
  onNetwork(`without UDP on ${side}, ${caller} and ${callee} talk, see and hear each other`, () => Network.apart(), async (stage) => {
    const server = await withRelay(stage);
    const alice = await stage.client('a', { browser: caller });
    const bob = await stage.client('b', { browser: callee });
    blocked.forEach((host) => stage.network.blockUdp(host));
    await bob.open(server, 'bob');
    await alice.open(server, 'alice');
    const line = await alice.connect('bob');
    assert.equal(await line.echo('hello'), 'hello');
    // The address of the other side's candidate is the relay's, and so is the way to it.
    const transports = [alice, bob].map(async (client) => (await client.way()).remote.protocol);
    const expected = ['a', 'b'].map((host) => (blocked.includes(host) ? 'tcp' : 'udp'));
    assert.deepEqual(await Promise.all(transports), expected);
    await alice.call('bob');
    await Promise.all([alice.must('moving picture'), bob.must('moving picture')]);
    assert.ok(await isRelayed(alice, stage));
  });
}

onNetwork('with a key whose calls are always relayed, nobody learns an address', () => Network.together(), async (stage) => {
  const server = await withRelay(stage, '--relay_mode', 'always');
  const plain = { plainAddresses: true };
  const { alice, bob, line } = await connected(stage, server, { caller: plain, callee: plain });
  assert.equal(await line.echo('hello'), 'hello');
  assert.ok(await isRelayed(alice, stage));
  for (const client of [alice, bob]) {
    const heard = client.frames.filter(({ way }) => way === 'received').map((frame) => JSON.stringify(frame));
    const addresses = [stage.network.a.at, stage.network.b.at];
    assert.deepEqual(heard.filter((frame) => addresses.some((address) => frame.includes(address))), []);
  }
});

for (const browser of browsers) {
  onNetwork(`the landing page tests the direct way and the relay (${browser})`, () => Network.together(), async (stage) => {
    const server = await withRelay(stage);
    const origin = `http://${stage.network.address}:${server.port}`;
    const page = await stage.visit('a', `${origin}/`, { browser });
    for (const [button, way] of [['test-broker', 'directly'], ['test-relay', 'through the relay']]) {
      const said = await page.run(testWith, button);
      assert.equal(said, `All steps passed: this broker works with this browser. The data went ${way}.`);
    }
  });
}

/** Runs in the landing page: presses a button, and waits for the summary. */
function testWith(button) {
  const summary = document.getElementById('test-summary');
  return new Promise((done) => {
    new MutationObserver(() => {
      if (['ok', 'failed'].includes(summary.dataset.state)) done(summary.textContent);
    }).observe(summary, { attributes: true, childList: true });
    document.getElementById(button).click();
  });
}
