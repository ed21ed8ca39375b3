// Self-hosted LiveSync's own tests of vaults that meet by a relay of Nostr. peerbroker takes the place of strfry and of coturn.

import { mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { startServer } from '../../client-tests/lib/server.mjs';
import { turnFlags } from '../../client-tests/lib/turn.mjs';
import { built, replaceIn } from './repositories.mjs';
import { below, npmPackages, output } from './tools.mjs';

const DENO = 'deno@2.9.6';
const TURN_PORT = 3478;

/** The other one sends 7 MB over the direct path, with which the server has nothing to do. */
const TESTS = ['host', 'peers-local-relay', 'sync', 'three-nodes-conflict'];
const TESTS_APART = ['sync', 'three-nodes-conflict'];

const STEPS = [['install', '--ignore-scripts', '--no-audit', '--no-fund'], ['run', 'build', '--workspace', 'self-hosted-livesync-cli']];

/** Modules of JSR, by those of Node. */
const CONFIG = { imports: { '@std/assert': "data:text/javascript,export { ok as assert } from 'node:assert'", '@std/path': 'node:path' } };

/** Names one URL of the TURN server: werift 0.23 takes no list. */
async function withOneUrl(folder) {
  replaceIn(join(folder, 'src/lib/src/rpc/transports/trysteroUtils.ts'), 'urls: turnServers,', 'urls: turnServers[0]!,');
}

async function passed({ folder, env }, names, server, { log, patience = '20', machine = undefined, path = [] }) {
  const cwd = join(folder, 'src/apps/cli/testdeno');
  const config = join(cwd, 'peerbroker.json');
  writeFileSync(config, JSON.stringify(CONFIG));
  const deno = join(await npmPackages('deno', DENO), 'node_modules/.bin/deno');
  const words = ['test', '--allow-all', '--no-check', '--no-lock', '--config', config, ...names.map((name) => `test-p2p-${name}.ts`)];
  const [program, all] = machine?.command(deno, ...words) ?? [deno, words];
  const { code, text } = await output(log, program, all, {
    cwd,
    env: {
      ...env, PATH: [...path, env.PATH].join(delimiter), NO_COLOR: '1', PEERS_TIMEOUT: patience, TIMEOUT_SECONDS: patience, SYNC_TIMEOUT: '240',
      // An address that they know as local would start containers.
      RELAY: `ws://${server.host}:${server.port}/`, USE_INTERNAL_RELAY: '0', TURN_SERVERS: machine ? `turn:${server.host}:${TURN_PORT}` : 'none',
    },
  });
  const [, count] = text.match(/^ok \| (\d+) passed/m) ?? [];
  if (code !== 0 || !count) throw new Error(`a test failed: see ${below(`${log}.log`)}`);
  return `${count} tests`;
}

/** Has the first vault on another host than the others. */
async function apart(copy, Network) {
  const network = Network.apart();
  try {
    const path = below('livesync-bin');
    mkdirSync(path, { recursive: true });
    const node = join(copy.env.PATH.split(delimiter)[0], 'node');
    const [program, words] = network.a.command(node, '"$@"');
    writeFileSync(join(path, 'node'), `#!/bin/sh\ncase " $* " in *' p2p-host '*) exec ${program} ${words.join(' ')};; esac\nexec ${node} "$@"\n`, { mode: 0o755 });
    const server = await startServer(turnFlags(`${network.address}:${TURN_PORT}`, '--turn_users', 'testuser:testpass', '--root_key', 'peerjs'), { network });
    try {
      return await passed(copy, TESTS_APART, server, { log: 'livesync-apart', patience: '60', machine: network.b, path: [path] });
    } finally {
      await server.stop();
    }
  } finally {
    network.stop();
  }
}

export async function livesync() {
  const copy = await built('livesync', 'LIVESYNC_SOURCE', "Self-hosted LiveSync's repository", STEPS, { packager: 'npm', change: withOneUrl });
  const server = await startServer(['--host', '127.0.0.2']);
  server.host = '127.0.0.2';
  try {
    const { Network, noNetworks } = await import('../../client-tests/lib/network.mjs');
    const direct = await passed(copy, TESTS, server, { log: 'livesync' });
    return `${direct}; ${noNetworks || `${await apart(copy, Network)} without a direct path, by TURN`}`;
  } finally {
    await server.stop();
  }
}
