// The relay over IPv6, and between a client with only IPv4 and one with only IPv6.

import assert from 'node:assert/strict';
import { data, media } from '../lib/conversations.mjs';
import { Network } from '../lib/network.mjs';
import { onNetwork } from '../lib/on-network.mjs';
import { isThorough } from '../lib/thorough.mjs';

const [V4, V6, BOTH] = [['v4'], ['v6'], ['v4', 'v6']];
const [CC, FF, CF, FC] = [['chromium', 'chromium'], ['firefox', 'firefox'], ['chromium', 'firefox'], ['firefox', 'chromium']];

/** The families of caller and callee, and the pairs of browsers that are always tested. */
const FAMILIES = {
  'IPv6 only': { a: V6, b: V6, always: [] },
  'IPv4 and IPv6': { a: V4, b: V6, always: [CC] },
  'IPv6 and IPv4': { a: V6, b: V4, always: [] },
  'IPv6 and both': { a: V6, b: BOTH, always: [] },
};

for (const [name, { a, b, always }] of Object.entries(FAMILIES)) {
  for (const pair of isThorough ? [CC, FF, CF, FC] : always) {
    for (const [what, connect] of Object.entries(isThorough ? { data: data('1.5.5'), media: media('1.5.5') } : { data: data('1.5.5') })) {
      onNetwork(`with ${name}, ${pair.join(' reaches ')} through the relay, ${what}`, () => Network.apart({ a, b }), async (stage) => {
        await meet(stage, { pair, connect, families: [a, b] });
      });
    }
  }
}

for (const browser of isThorough ? ['chromium', 'firefox'] : []) {
  onNetwork(`${browser} with IPv6 only and without UDP reaches the relay`, () => Network.apart({ a: V6, b: V4 }), async (stage) => {
    stage.network.blockUdp();
    await meet(stage, { pair: [browser, 'chromium'], connect: data('1.5.5'), families: [V6, V4], transport: 'tcp' });
  });
}

async function meet(stage, { pair: [caller, callee], connect, families, transport = 'udp' }) {
  const { relays } = stage.network;
  const server = await stage.server(['--relay', ...relays]);
  const talk = await connect(stage, server, { a: { browser: caller }, b: { browser: callee } });
  await talk.works();
  const ways = (await talk.ways()).map(({ remote }) => remote);
  assert.equal(ways[0].protocol, transport);
  for (const [i, { address }] of ways.entries()) {
    const own = address.includes(':') ? 'v6' : 'v4';
    assert.ok(families[i].includes(own) && relays.includes(own === 'v6' ? `[${address.replace(/[[\]]/g, '')}]` : address), address);
  }
}
