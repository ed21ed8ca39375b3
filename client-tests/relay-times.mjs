// Measures how long PeerJS takes to connect with and without the relay's candidate at the broker's port: the table of
// docs/CALLS-MEASURED.md. As root: `npm run times`. ROUNDS is the number of calls of each kind.

import { Network } from './lib/network.mjs';
import { onNetwork } from './lib/on-network.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 15);

const BOTH = ['a', 'b'];

/** Each network, and what it does after the pages are loaded. */
const NETWORKS = {
  direct: { lay: () => Network.together() },
  'relay over UDP': { lay: () => Network.apart() },
  'relay over TCP, caller without UDP': { lay: () => Network.apart(), limit: (network) => network.blockUdp() },
  'relay over TCP, nobody with UDP': { lay: () => Network.apart(), limit: (network) => BOTH.forEach((host) => network.blockUdp(host)) },
  'only the broker\'s port': {
    lay: () => Network.apart(),
    limit: (network, { port }) => BOTH.forEach((host) => network.letOutOnlyTcpTo(port, host)),
    needsBroker: true,
  },
};

for (const browser of ['chromium', 'firefox']) {
  for (const [network, { lay, limit, needsBroker }] of Object.entries(NETWORKS)) {
    onNetwork(`${network}: ${browser}`, lay, async (stage) => {
      const { address } = stage.network;
      const servers = {
        with: await stage.server(['--relay', `${address}:4478`]),
        ...(!needsBroker && { without: await stage.server(['--relay', address, '--relay_tcp_port', '0']) }),
      };
      const options = { browser, plainAddresses: network === 'direct' };
      const [alice, bob] = [await stage.client('a', options), await stage.client('b', options)];
      limit?.(stage.network, servers.with);
      const times = { with: [], without: [] };
      // In turn, so that a busy machine slows both. The first round only warms the browsers up.
      for (let round = 0; round <= ROUNDS; round += 1) {
        const all = Object.entries(servers);
        for (const [candidate, server] of round % 2 ? all : all.reverse()) {
          const id = `${candidate}-${round}`;
          await bob.open(server, `bob-${id}`);
          await alice.open(server, `alice-${id}`);
          const began = performance.now();
          const line = await alice.connect(`bob-${id}`);
          await line.echo('hello');
          if (round > 0) times[candidate].push(performance.now() - began);
        }
      }
      for (const [candidate, all] of Object.entries(times).filter(([, all]) => all.length > 0)) {
        const [least, median, most] = [0, 0.5, 1].map((share) => quantile(all, share));
        console.log(`| ${network} | ${browser} | ${candidate} | ${median} | ${least}–${most} | ${all.length} |`);
      }
    });
  }
}

/** In milliseconds. */
function quantile(all, share) {
  const sorted = all.toSorted((one, other) => one - other);
  return Math.round(sorted[Math.round((sorted.length - 1) * share)]);
}
