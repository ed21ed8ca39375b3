// A client changes its network in mid-call: what PeerJS reports, and what works afterwards.
//
// One case runs always, and all of them with THOROUGH=1, which also prints what both pages were told, with the seconds since.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { data, media } from '../lib/conversations.mjs';
import { MOVES, Network } from '../lib/network.mjs';
import { onNetwork } from '../lib/on-network.mjs';
import { isThorough } from '../lib/thorough.mjs';

const [CC, FF, CF, FC] = [['chromium', 'chromium'], ['firefox', 'firefox'], ['chromium', 'firefox'], ['firefox', 'chromium']];
const KINDS = { data: data('1.5.5'), media: media('1.5.5') };

const WAYS = {
  'directly': { lay: () => Network.together(), isRelayed: false },
  'through the relay': { lay: () => Network.apart(), isRelayed: true },
};

const ALWAYS = String(['through the relay', 'new address', CC, 'data']);

const rows = [];

for (const [way, { lay, isRelayed }] of Object.entries(WAYS)) {
  for (const move of MOVES) {
    for (const pair of [CC, FF, CF, FC]) {
      for (const [kind, connect] of Object.entries(KINDS)) {
        if (!isThorough && String([way, move, pair, kind]) !== ALWAYS) continue;
        onNetwork(`${pair.join(' to ')} ${way}, ${kind}: the caller moves, ${move}`, lay, async (stage) => {
          const server = await stage.server(['--relay', stage.network.address]);
          const [a, b] = pair.map((browser) => ({ browser, plainAddresses: !isRelayed }));
          const { clients: [alice, bob], ways, again } = await connect(stage, server, { a, b });
          const { address } = stage.network;
          assert.deepEqual((await ways()).map(({ remote }) => remote.address === address), [isRelayed, isRelayed]);
          await Promise.all([alice.follow(), bob.follow()]);

          await stage.network.move(move);

          const [mover, stayer] = await Promise.all([told(alice, pair[0]), told(bob)]);
          rows.push([pair.join(' → '), way, kind, move, mover, stayer]);
          await alice.renew();
          await again();
        });
      }
    }
  }
}

/** The events of a page, in order, until it knows. Only Firefox notices by itself that the way to the broker is lost. */
async function told(client, mover = undefined) {
  await client.next(mover === 'firefox' ? 'broker lost' : 'path disconnected');
  return (await client.story()).split(', ').filter((event) => /^(path|connection closed|broker lost)/.test(event)).join(', ');
}

after(() => {
  if (!isThorough) return;
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
});
