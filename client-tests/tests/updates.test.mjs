// Relayed calls while the server is updated. A call that has to end is told to both sides.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { Network } from '../lib/network.mjs';
import { onNetwork } from '../lib/on-network.mjs';
import { browserPairs, isThorough } from '../lib/thorough.mjs';
import { until, within } from '../lib/within.mjs';

const [CALLS, UPDATES] = isThorough ? [20, 10] : [4, 2];

/** Milliseconds without an echo. A machine that is busy with other tests does not run a browser for seconds. */
const GAP = isThorough ? 1_000 : 10_000;

const PORT = '9000';

const flags = (stage) => ['--relay', stage.network.address, '--port', PORT];

/** Waits until the log has a line. */
const logged = (server, text) => until(`the log to say ${text}`, () => server.errors.some((line) => line.includes(text)));

async function pair(stage, server, { caller = 'chromium', callee = 'chromium' } = {}) {
  const [alice, bob] = [await stage.client('a', { browser: caller }), await stage.client('b', { browser: callee })];
  await bob.open(server, 'bob');
  await alice.open(server, 'alice');
  return { alice, bob };
}

describe('updates of a server that relays', { concurrency: 1 }, () => {
  onNetwork(`${CALLS} calls live through ${UPDATES} updates`, () => Network.apart(), async (stage) => {
    const shared = [...flags(stage), '--reuse_port', '--drain_timeout', '1000'];
    let server = await stage.server(shared);
    const { alice, bob } = await pair(stage, server);
    await Promise.all([alice.stay(), bob.stay()]);
    await alice.pulse('bob', CALLS);
    await alice.pulsed();
    const gaps = [];
    for (let update = 1; update <= UPDATES; update += 1) {
      const next = await stage.server(shared);
      const began = performance.now();
      server.signal('SIGTERM');
      await logged(next, 'the relay: the port is free');
      const relaysAfter = performance.now() - began;
      await Promise.all([alice, bob].map((client) => client.next('back')));
      // A new call, by the new server.
      const line = await alice.connect('bob');
      assert.equal(await line.echo(update), update);
      const pulses = await alice.pulsed();
      const longest = Math.max(...pulses.map(({ silent, longest }) => Math.max(silent, longest)));
      gaps.push(longest);
      stage.note(`update ${update}: longest gap ${Math.round(longest)} ms, relays after ${Math.round(relaysAfter)} ms`);
      assert.ok(pulses.every(({ open }) => open), `update ${update} ended calls`);
      server = next;
    }
    assert.ok(Math.max(...gaps) <= GAP, `gaps of ${gaps.map(Math.round)} ms`);
  });

  for (const [caller, callee] of browserPairs) {
    onNetwork(`${caller} and ${callee} hear that a call ends`, () => Network.apart(), async (stage) => {
      const server = await stage.server(flags(stage));
      const { alice, bob } = await pair(stage, server, { caller, callee });
      await alice.call('bob');
      await Promise.all([alice.must('moving picture'), bob.must('moving picture')]);
      const began = performance.now();
      server.signal('SIGTERM');
      await Promise.all([alice.next('call close'), bob.next('call close')]);
      stage.note(`closed after ${Math.round(performance.now() - began)} ms`);
      assert.deepEqual(await within('the server to exit', server.exited), { code: 0, signal: null });
    });
  }
});
