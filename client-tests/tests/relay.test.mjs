// Calls that cannot go directly go through the relay of the server, with unmodified clients that know nothing of it.

import assert from 'node:assert/strict';
import { Network } from '../lib/network.mjs';
import { launchOn } from '../lib/network/browsers.mjs';
import { onNetwork } from '../lib/on-network.mjs';
import { within } from '../lib/within.mjs';

const withRelay = (stage, ...flags) => stage.server(['--relay', stage.network.address, ...flags]);

/** Two clients with a data connection. */
async function connected(stage, server, { caller = {}, callee = {} } = {}) {
  const [alice, bob] = [await stage.client('a', caller), await stage.client('b', callee)];
  await bob.open(server, 'bob');
  await alice.open(server, 'alice');
  return { alice, bob, line: await alice.connect('bob') };
}

const isRelayed = async (client, { network }) => (await client.way()).remote.address === network.address;

for (const version of ['0.3.14', '1.3.2', '1.5.5', '2.0.0-beta.3']) {
  onNetwork(`behind two symmetric NATs, clients of ${version} talk`, () => Network.symmetricNats(), async (stage) => {
    const server = await withRelay(stage);
    const options = { version };
    const { alice, line } = await connected(stage, server, { caller: options, callee: options });
    assert.equal(await line.echo('hello'), 'hello');
    assert.ok(await isRelayed(alice, stage));
  });
}

for (const [caller, callee] of [['chromium', 'chromium'], ['firefox', 'chromium'], ['chromium', 'firefox']]) {
  const who = `${caller} and ${callee}`;
  onNetwork(`behind two symmetric NATs, ${who} see and hear each other`, () => Network.symmetricNats(), async (stage) => {
    const server = await withRelay(stage);
    const alice = await stage.client('a', { browser: caller });
    const bob = await stage.client('b', { browser: callee });
    await bob.open(server, 'bob');
    await alice.open(server, 'alice');
    await alice.call('bob');
    await Promise.all([alice.must('moving picture'), bob.must('moving picture')]);
    assert.ok(await isRelayed(alice, stage));
  });

  onNetwork(`on one network, ${who} talk directly`, () => Network.together(), async (stage) => {
    const server = await withRelay(stage);
    const at = (browser) => ({ browser, plainAddresses: true });
    const { alice, line } = await connected(stage, server, { caller: at(caller), callee: at(callee) });
    assert.equal(await line.echo('hello'), 'hello');
    assert.ok(!(await isRelayed(alice, stage)));
  });
}

onNetwork('in Chromium, a connection outlives its direct path in the first seconds', () => Network.together(), async (stage) => {
  const server = await withRelay(stage);
  const plain = { plainAddresses: true };
  const { alice, line } = await connected(stage, server, { caller: plain, callee: plain });
  assert.equal(await line.echo('before'), 'before');
  assert.ok(!(await isRelayed(alice, stage)));

  stage.network.cutDirectPath();

  assert.equal(await line.echo('after'), 'after');
  assert.ok(await isRelayed(alice, stage));
});

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

for (const browser of ['chromium', 'firefox']) {
  onNetwork(`the landing page tests the direct way and the relay (${browser})`, () => Network.together(), async (stage) => {
    const server = await withRelay(stage);
    const origin = `http://${stage.network.address}:${server.port}`;
    const started = await within(`${browser} to start`, launchOn(stage.network.a, browser, { origin }));
    try {
      const page = await within('a page', started.newPage());
      await within('the landing page', page.goto(`${origin}/`));
      for (const [button, way] of [['test-broker', 'directly'], ['test-relay', 'through the relay']]) {
        const said = await within(`the end of ${button}`, page.evaluate(testWith, button));
        assert.equal(said, `All steps passed: this broker works with this browser. The data went ${way}.`);
      }
    } finally {
      await within(`${browser} to close`, started.close());
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
