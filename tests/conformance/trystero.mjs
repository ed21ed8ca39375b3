// Trystero's own tests of its ws-relay, of Nostr and of trackers, in Chromium, Firefox and Node. peerbroker takes the place of the relays.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { createServer } from 'node:tls';
import { CHROMIUM, HEADLESS } from '../../client-tests/lib/chromium.mjs';
import { FIREFOX } from '../../client-tests/lib/firefox.mjs';
import { selfSigned, startServer } from '../../client-tests/lib/server.mjs';
import { freePort } from '../../client-tests/lib/shipped-proxy.mjs';
import { built, playwright, replaceIn, summary } from './repositories.mjs';
import { need } from './programs.mjs';
import { below, npmPackages, output } from './tools.mjs';
import { SERVER as TRACKER_SERVER, TRACKER } from './tracker.mjs';

/** Of the tests. The packages are newer: their sources are in npm, and those of their tests are not. */
const VERSION = '0.25.3';
const RELEASE = '0.25.4';
const PACKAGES = ['core', 'nostr', 'torrent'];
/** They have bounds on time, which a busy machine exceeds. */
const RETRIES = 2;

/** Writes the sources of the release over those of the copy, from the maps of npm's packages. */
async function update(folder) {
  const scope = join(await npmPackages(`trystero-packages-${RELEASE}`, ...PACKAGES.map((name) => `@trystero-p2p/${name}@${RELEASE}`)), 'node_modules/@trystero-p2p');
  for (const name of PACKAGES) {
    const to = join(folder, 'packages', name, 'src');
    mkdirSync(to, { recursive: true });
    const made = join(scope, name, 'dist');
    for (const map of readdirSync(made).filter((file) => file.endsWith('.mjs.map'))) {
      const { sources, sourcesContent } = JSON.parse(readFileSync(join(made, map), 'utf8'));
      for (const [at, source] of sources.entries()) writeFileSync(join(to, basename(source)), sourcesContent[at]);
    }
  }
  cpSync(join(scope, 'core/dist/types.d.mts'), join(folder, 'packages/core/src/types.ts'));
}

/** Builds a copy of the repository. Resolves with its folder, and with the environment of its programs. */
export async function prepared() {
  // Without a lock file, the versions of the time at which it was written.
  const steps = [['install', '--ignore-scripts', '--config.resolution-mode=time-based'], ['run', 'build:test']];
  const copy = await built('trystero', 'TRYSTERO_SOURCE', `Trystero's repository at ${VERSION}`, steps, { release: RELEASE, change: update });
  cpSync(join(copy.source, 'test'), join(copy.folder, 'test'), { recursive: true });
  return copy;
}

/** Their configuration with the browsers of this machine, of which Firefox is driven by WebDriver BiDi, and without a relay. */
const CONFIG = `
import theirs from './playwright.config.ts';
const browser = (name, executablePath, more) => {
  const project = theirs.projects.find((one) => one.name === name);
  return { ...project, use: { ...project.use, ...more, launchOptions: { ...theirs.use.launchOptions, executablePath } } };
};
export default {
  ...theirs,
  workers: 1,
  retries: ${RETRIES},
  reporter: [['list'], ['json']],
  projects: [browser('chromium', ${JSON.stringify(HEADLESS)}), browser('firefox', ${JSON.stringify(FIREFOX)}, { channel: 'moz-firefox' })],
  webServer: theirs.webServer.filter(({ name }) => process.env.OWN_RELAY || name !== 'ws-relay'),
};
`;

/** The strategies of which the tests ask for four relays, and where theirs of the Internet are named. */
const OF_FOUR = ['nostr', 'torrent'];
const FOUR = 4;

/** Has these strategies use the relays of a variable. */
function withRelays(folder) {
  const path = join(folder, 'test', 'strategy-configs.ts');
  for (const name of OF_FOUR) {
    replaceIn(path, new RegExp(`${name}: \\{\\s*relayConfig: \\{\\s*redundancy: [^}]*\\}`), `${name}: {relayConfig: {urls: process.env['PEERBROKER_RELAYS']!.split(',')}`);
  }
}

/** Has failures with trackers fail a test, which would pass over them without another try. */
function countFailures(folder) {
  const rule = "const shouldSoftFail = strategy === 'ipfs' || strategy === 'torrent'";
  replaceIn(join(folder, 'test', 'browser', 'harness.ts'), rule, 'const shouldSoftFail = false');
}

/** Starts so many brokers. */
const brokers = (tls) => Promise.all(Array.from({ length: FOUR }, async () => startServer(['--dialects', '+tracker', '--port', `${await freePort()}`], { tls })));

/** Starts so many of the trackers that WebTorrent's clients have. With `tls`, browsers reach them by a socket with TLS. */
async function trackers(tls) {
  const folder = await npmPackages('bittorrent-tracker', TRACKER);
  return Promise.all(Array.from({ length: FOUR }, async () => {
    const child = spawn('node', ['--input-type=module', '--eval', TRACKER_SERVER], { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] });
    const [line] = await once(createInterface(child.stdout), 'line');
    const { key, cert } = selfSigned();
    const front = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (client) => {
      const server = net.connect(Number(line), '127.0.0.1');
      client.pipe(server).pipe(client);
      for (const [one, other] of [[client, server], [server, client]]) one.on('error', () => other.destroy()).on('close', () => other.destroy());
    });
    front.listen(await freePort(), '127.0.0.1');
    await once(front, 'listening');
    return { port: tls ? front.address().port : Number(line), stop: async () => { child.kill(); front.close(); } };
  }));
}

/** With `own`, Trystero's relay and WebTorrent's tracker are judged; there is none for Nostr. */
const judged = (own) => ['ws-relay', 'torrent', ...own ? [] : ['nostr']];

async function inBrowsers({ folder, env }, own) {
  const config = join(folder, 'peerbroker.config.ts');
  writeFileSync(config, CONFIG);
  withRelays(folder);
  countFailures(folder);
  const servers = await (own ? trackers(true) : brokers(true));
  const log = `trystero-browsers${own ? '-own' : ''}`;
  try {
    const ports = servers.map(({ port }) => port);
    const relays = own ? [await freePort(), await freePort()] : ports.slice(0, 2);
    const results = await playwright({ folder, env }, log, ['-c', config, ...judged(own).map((strategy) => `test/${strategy}.spec.ts`)], {
      OWN_RELAY: own ? '1' : '', TRYSTERO_TEST_PORT: `${await freePort()}`, TRYSTERO_WS_RELAY_PORTS: `${relays}`,
      PEERBROKER_RELAYS: `${ports.map((port) => `wss://localhost:${port}`)}`,
    });
    return results;
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

/** Runs the tests of two processes of Node that meet at a server. */
async function inNode({ folder, env }, own) {
  const alias = own ? {} : { '@trystero-p2p/ws-relay/server': join(import.meta.dirname, 'trystero-relay.mjs') };
  const words = ['--import', 'jiti/register', '--test', '--test-reporter', 'spec', '--test-name-pattern', `/${judged(own).join('|')}/`, 'test/node/node.spec.ts'];
  const servers = await (own ? trackers(false) : brokers(false));
  const relays = `${servers.map(({ port }) => `ws://localhost:${port}`)}`;
  const passed = new Map();
  try {
    for (let tries = 1; tries <= 1 + RETRIES; tries += 1) {
      const { text } = await output(`trystero-node${own ? '-own' : ''}`, 'node', words, { cwd: folder, env: { ...env, JITI_ALIAS: JSON.stringify(alias), PEERBROKER_RELAYS: relays } });
      for (const [, mark, name] of text.matchAll(/^([✔✖]) (Trystero: .*?) \(/gm)) {
        if (!passed.get(name)?.isPassed) passed.set(name, { name: `node: ${name}`, isPassed: mark === '✔', tries });
      }
      if (passed.size > 0 && [...passed.values()].every(({ isPassed }) => isPassed)) break;
    }
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
  if (passed.size === 0) throw new Error(`Node ran no test: see ${below('trystero-node.log')}`);
  return [...passed.values()];
}

export async function trystero() {
  need(CHROMIUM, FIREFOX);
  const copy = await prepared();
  const own = process.env.TRYSTERO_RELAY === 'own';
  const results = [...await inBrowsers(copy, own), ...await inNode(copy, own)];
  return `${results.length} tests in Chromium, Firefox and Node${summary(results, 'trystero-*')}`;
}

/** Their script of default relays and trackers, with ours in place of its lists. What is no relay of Nostr is only opened. */
export async function trysteroRelays() {
  const { folder, env } = await prepared();
  const script = join(folder, 'scripts/peerbroker-relays.ts');
  cpSync(join(folder, 'scripts/test-relays.ts'), script);
  replaceIn(script, /const relayGroups.*?\n\}/s, "const relayGroups: Record<string, string[]> = JSON.parse(process.env['PEERBROKER_RELAYS']!)");
  const servers = await brokers(true);
  const relays = Object.fromEntries(['nostr', 'torrent', 'ws-relay'].map((name) => [name, servers.map(({ port }) => `wss://127.0.0.1:${port}/`)]));
  try {
    const { text } = await output('trystero-relays', 'pnpm', ['exec', 'jiti', script], {
      cwd: folder, env: { ...env, NODE_EXTRA_CA_CERTS: selfSigned().cert, PEERBROKER_RELAYS: JSON.stringify(relays) },
    });
    const groups = text.split(/^\s*(?=\S+: *$)/m).slice(1).map((group) => [group.split(':')[0].trim(), [...group.matchAll(/✅ +(\d+)ms/g)].map(([, time]) => Number(time))]);
    const isComplete = Object.keys(relays).every((name, i) => groups[i]?.[0] === name && groups[i][1].length === FOUR);
    if (!isComplete) throw new Error(`a relay failed: see ${below('trystero-relays.log')}`);
    return groups.map(([name, times]) => `${name} ✅ ${Math.min(...times)} to ${Math.max(...times)} ms`).join(', ');
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}
