// Every kind of client in every pair of browsers, on every network where calls need the relay: the table of docs/CALLS-MEASURED.md.
//
// Some cells run always, and all of them with THOROUGH=1, which also prints the table.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { callDemo, data, media, partyGame } from '../lib/conversations.mjs';
import { Network } from '../lib/network.mjs';
import { onNetwork } from '../lib/on-network.mjs';
import { isThorough } from '../lib/thorough.mjs';

const [CC, FF, CF, FC] = [['chromium', 'chromium'], ['firefox', 'firefox'], ['chromium', 'firefox'], ['firefox', 'chromium']];
const PAIRS = [CC, FF, CF, FC];

const NETWORKS = {
  'no way between them': { lay: () => Network.apart() },
  'two symmetric NATs': { lay: () => Network.symmetricNats() },
  'no UDP for the caller': { lay: () => Network.apart(), noUdp: 'a' },
  'no UDP for the callee': { lay: () => Network.apart(), noUdp: 'b' },
  'direct path cut in mid-call': { lay: () => Network.together(), cut: true },
};

const KINDS = {
  '0.3.14, data': data('0.3.14'),
  '1.3.2, data': data('1.3.2'),
  '1.5.5, data': data('1.5.5'),
  '2.0.0-beta.3, data': data('2.0.0-beta.3'),
  '1.5.5, media': media('1.5.5'),
  'party game': partyGame,
  'call demo': callDemo,
};

/**
 * The cells that run always: data and media, the oldest release and the one that most pages have, both browsers. Media over TCP is in
 * relay.test.mjs.
 */
const ALWAYS = {
  'two symmetric NATs': { '0.3.14, data': [CC], '1.5.5, media': [FC], 'party game': [CC] },
  'no UDP for the caller': { '1.5.5, data': [CC] },
  'direct path cut in mid-call': { '1.5.5, data': [CC] },
};

const outcomes = new Map();
const cellOf = (...coordinates) => coordinates.join();

for (const [network, { lay, noUdp, cut }] of Object.entries(NETWORKS)) {
  for (const pair of PAIRS) {
    for (const [kind, connect] of Object.entries(KINDS)) {
      if (!isThorough && !ALWAYS[network]?.[kind]?.includes(pair)) continue;
      onNetwork(`${network}: ${pair.join(' to ')}, ${kind}`, lay, async (stage) => {
        const { outcome, reason } = await tried(stage, { pair, connect, noUdp, cut });
        outcomes.set(cellOf(network, pair, kind), outcome);
        assert.equal(outcome, expected(pair, cut), reason && `${outcome}: ${reason}`);
      });
    }
  }
}

/** Firefox gives up all other ways as soon as one works. */
const expected = (pair, cut) => (cut && pair.includes('firefox') ? 'ends' : '✓');

async function tried(stage, { pair, connect, noUdp, cut }) {
  const { network } = stage;
  const server = await stage.server(['--relay', network.address]);
  if (noUdp) network.blockUdp(noUdp);
  const [a, b] = pair.map((browser) => ({ browser, plainAddresses: cut }));
  let talk;
  try {
    talk = await connect(stage, server, { a, b });
  } catch ({ message }) {
    return { outcome: 'never connects', reason: message };
  }
  if (cut) {
    assert.deepEqual(await transports(talk, network), ['direct', 'direct']);
    network.cutDirectPath();
  }
  try {
    await talk.works();
  } catch ({ message }) {
    await talk.again?.();
    return { outcome: 'ends', reason: message };
  }
  assert.deepEqual(await transports(talk, network), ['a', 'b'].map((host) => (host === noUdp ? 'tcp' : 'udp')));
  return { outcome: '✓' };
}

/** The way of each side to the relay, or to the other side. */
async function transports({ ways }, { address }) {
  const seen = await ways();
  return seen.map(({ remote }) => (remote.address === address ? remote.protocol : 'direct'));
}

after(() => {
  if (!isThorough) return;
  const kinds = Object.keys(KINDS);
  const row = (...cells) => console.log(`| ${cells.flat().join(' | ')} |`);
  row('network', 'caller → callee', kinds);
  row('---', '---', kinds.map(() => '---'));
  for (const network of Object.keys(NETWORKS)) {
    for (const pair of PAIRS) {
      row(network, pair.join(' → '), kinds.map((kind) => outcomes.get(cellOf(network, pair, kind)) ?? 'failed'));
    }
  }
});
