// The `peerjs.js` of the broker restarts ICE when the path of a connection dies, if both ends have it.
//
// Some cases run always, and all of them with THOROUGH=1, which also prints the seconds after which a call goes on.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { data, media } from '../lib/conversations.mjs';
import { Network } from '../lib/network.mjs';
import { onNetwork } from '../lib/on-network.mjs';
import { isThorough } from '../lib/thorough.mjs';

const [CC, FF, CF, FC] = [['chromium', 'chromium'], ['firefox', 'firefox'], ['chromium', 'firefox'], ['firefox', 'chromium']];
const rows = [];
const KINDS = { data: data('1.5.5'), media: media('1.5.5') };

for (const pair of isThorough ? [FF, CF, FC] : [FC]) {
  for (const [kind, connect] of Object.entries(isThorough ? KINDS : { data: KINDS.data })) {
    onNetwork(`${pair.join(' to ')}, ${kind}: a call goes on through the relay when its direct path dies`, () => Network.together(), async (stage) => {
      const { network } = stage;
      const server = await stage.server(['--relay', network.address]);
      const [a, b] = pair.map((browser) => ({ browser, plainAddresses: true, served: true }));
      const { clients, works, ways } = await connect(stage, server, { a, b });
      assert.ok((await ways()).every(({ remote }) => remote.address !== network.address));
      await Promise.all(clients.map((client) => client.follow()));

      network.cutDirectPath();
      const cut = performance.now();

      await works();
      rows.push([pair.join(' → '), kind, ((performance.now() - cut) / 1000).toFixed(1)]);
      assert.deepEqual((await ways()).map(({ remote }) => remote.address), [network.address, network.address]);
      assert.deepEqual(await Promise.all(clients.map((client) => client.count('connection closed'))), [0, 0]);
    });
  }
}

for (const pair of [CC, ...(isThorough ? [CF] : [])]) {
  onNetwork(`${pair.join(' to ')}: a call goes on after the caller has moved and reconnected`, () => Network.apart(), async (stage) => {
    const server = await stage.server(['--relay', stage.network.address]);
    const [a, b] = pair.map((browser) => ({ browser, served: true }));
    const { clients: [alice, bob], works } = await data('1.5.5')(stage, server, { a, b });
    await Promise.all([alice.follow(), bob.follow()]);
    await stage.network.move('both at once');
    await alice.next('path disconnected');

    await alice.renew();

    await works();
  });
}

if (isThorough) {
  onNetwork('with released PeerJS on the other end, nothing is restarted', () => Network.together(), async (stage) => {
    const { network } = stage;
    const server = await stage.server(['--relay', network.address]);
    const plainAddresses = true;
    const a = { plainAddresses, served: true };
    const { clients: [alice, bob], works } = await data('1.5.5')(stage, server, { a, b: { plainAddresses, browser: 'firefox' } });
    await Promise.all([alice.follow(), bob.follow()]);
    // A restart comes 2 s after Chromium has noticed: at once by the clock of this page.
    await alice.run(() => {
      const { setTimeout } = window;
      window.setTimeout = /** @type {any} */ ((act, time, ...args) => setTimeout(act, time === 2_000 ? 0 : time, ...args));
    });

    network.cutDirectPath();
    // On a busy machine, Chromium may have changed to the relay before it notices anything: then only Firefox does.
    await Promise.race([alice, bob].map((client) => client.next('path disconnected')));
    network.mendDirectPath();

    await works();
    assert.equal(alice.frames.filter(({ way, type }) => way === 'sent' && type === 'OFFER').length, 1);
    assert.equal(await bob.count('connection closed'), 0);
  });

  onNetwork('a page whose call cannot be restarted, because the other one has gone, gets no error', () => Network.together(), async (stage) => {
    const { network } = stage;
    const server = await stage.server(['--relay', network.address]);
    const browser = { plainAddresses: true, served: true };
    const { clients: [alice, bob] } = await data('1.5.5')(stage, server, { a: browser, b: browser });
    // The way to the relay too, or it would tell that bob leaves.
    network.blockUdp('b');
    network.cutDirectPath();
    await bob.close();

    await alice.frame('received', 'EXPIRE');

    assert.equal(await alice.count('error'), 0);
  });
}

after(() => {
  if (!isThorough) return;
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
});
