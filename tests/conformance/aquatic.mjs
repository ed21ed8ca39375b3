// The load test of Aquatic, a tracker in Rust: clients of WebTorrent over TLS.

import { existsSync, writeFileSync } from 'node:fs';
import { startServer } from '../../client-tests/lib/server.mjs';
import { Skipped, below, output } from './tools.mjs';

const VERSION = '0.9.0';

/** Every client gets all of its 200 swarms, and nobody is too fast. */
const FLAGS = ['--dialects', 'tracker', '--messages_per_second', '0', '--room_deliveries_per_second', '0'];

const configuration = (port) => `
server_address = "127.0.0.1:${port}"
num_connections_per_worker = 100
connection_creation_interval_ms = 1
duration = 10
[torrents]
number_of_torrents = 200
offers_per_request = 5
`;

export async function aquatic() {
  const program = process.env.AQUATIC_LOAD_TEST ?? below('aquatic_ws_load_test');
  if (!existsSync(program)) throw new Skipped(`there is no ${program}: set AQUATIC_LOAD_TEST to aquatic_ws_load_test ${VERSION}`);
  const server = await startServer(FLAGS, { tls: true });
  try {
    const config = below('aquatic.toml');
    writeFileSync(config, configuration(server.port));
    const { code, text } = await output('aquatic', program, ['-c', config], { timeout: 60_000 });
    const figures = (name) => [...text.matchAll(new RegExp(`${name}: +([0-9.]+)`, 'g'))].map(([, figure]) => Number(figure));
    const most = (name) => Math.max(0, ...figures(name));
    const found = { announces: most('Announce responses'), offers: most('Offer responses'), answers: most('Answer responses'), errors: most('Error responses') };
    const isServed = found.announces > 0 && found.offers > 0 && found.answers > 0 && found.errors === 0;
    if (code !== 0 || !isServed) throw new Error(`${JSON.stringify(found)} a second, exit code ${code}. See ${below('aquatic.log')}`);
    return `${Math.round(most('Average responses per second')).toLocaleString('en')} responses a second, none an error`;
  } finally {
    await server.stop();
  }
}
