// Trystero's own tests of its ws-relay and of Nostr, in Chromium, Firefox and Node. peerbroker takes the place of the relays.

import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { CHROMIUM, HEADLESS } from '../../client-tests/lib/chromium.mjs';
import { FIREFOX } from '../../client-tests/lib/firefox.mjs';
import { binary, startServer } from '../../client-tests/lib/server.mjs';
import { freePort } from '../../client-tests/lib/shipped-proxy.mjs';
import { need } from './programs.mjs';
import { Skipped, below, npmPackages, output } from './tools.mjs';

const VERSION = '0.25.3';
/** They have bounds on time, which a busy machine exceeds. */
const RETRIES = 2;
/** The repository's package manager; and a Node that runs its build, as packages of npm. */
const TOOLS = ['pnpm@10.4.0', `node-${process.platform}-${process.arch}@24.13.0`];

/** Builds a copy of the repository. Resolves with its folder, and with the environment of its programs. */
export async function prepared() {
  const source = process.env.TRYSTERO_SOURCE ?? below('trystero-source');
  if (!existsSync(source)) throw new Skipped(`there is no ${source}: set TRYSTERO_SOURCE to a copy of Trystero's repository at ${VERSION}`);
  const { version } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
  const folder = below(`trystero-${version}`);
  const tools = join(await npmPackages('trystero-tools', ...TOOLS), 'node_modules');
  const path = [join(tools, TOOLS[1].split('@')[0], 'bin'), join(tools, '.bin'), process.env.PATH].join(delimiter);
  const env = { ...process.env, PATH: path, PEERBROKER_BIN: binary };
  if (!existsSync(join(folder, 'dist'))) {
    mkdirSync(folder, { recursive: true });
    for (const name of readdirSync(source).filter((one) => !['.git', 'node_modules', 'dist'].includes(one))) {
      cpSync(join(source, name), join(folder, name), { recursive: true });
    }
    const pnpm = async (...words) => {
      const { code, text } = await output('pnpm', 'pnpm', words, { cwd: folder, env });
      if (code !== 0) throw new Skipped(`pnpm ${words[0]}: ${text.trim().split('\n').at(-1)}`);
    };
    // Without a lock file, the versions of the time at which it was written.
    await pnpm('install', '--ignore-scripts', '--config.resolution-mode=time-based');
    await pnpm('run', 'build:test');
  }
  cpSync(join(source, 'test'), join(folder, 'test'), { recursive: true });
  return { folder, env };
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

/** Has Nostr use the same relays: the configuration of the tests names relays of the Internet. The tests expect four. */
function withRelays(folder) {
  const path = join(folder, 'test', 'strategy-configs.ts');
  const ours = 'nostr: {relayConfig: {urls: wsRelayUrls.flatMap(url => [url, url + "/?again"])}';
  const text = readFileSync(path, 'utf8').replace(/nostr: \{\s*relayConfig: \{\s*redundancy: [^}]*\}/, ours);
  if (!text.includes(ours)) throw new Error(`the relays of Nostr are not in ${path} any more`);
  writeFileSync(path, text);
}

/** Runs the tests of browsers. With `own`, Trystero's relay is judged; it has none for Nostr. */
async function inBrowsers({ folder, env }, own) {
  const config = join(folder, 'peerbroker.config.ts');
  writeFileSync(config, CONFIG);
  withRelays(folder);
  const servers = own ? [] : await Promise.all([1, 2].map(async () => startServer(['--path', '/', '--port', `${await freePort()}`], { tls: true })));
  try {
    const ports = own ? [await freePort(), await freePort()] : servers.map(({ port }) => port);
    const report = below(`trystero-browsers${own ? '-own' : ''}.json`);
    rmSync(report, { force: true });
    const tests = ['ws-relay', ...own ? [] : ['nostr']].map((strategy) => `test/${strategy}.spec.ts`);
    await output(`trystero-browsers${own ? '-own' : ''}`, 'pnpm', ['exec', 'playwright', 'test', '-c', config, ...tests], {
      cwd: folder,
      env: { ...env, OWN_RELAY: own ? '1' : '', TRYSTERO_TEST_PORT: `${await freePort()}`, TRYSTERO_WS_RELAY_PORTS: `${ports}`, PLAYWRIGHT_JSON_OUTPUT_FILE: report },
    });
    if (!existsSync(report)) throw new Error(`Playwright ran no test: see ${below('trystero-browsers.log')}`);
    const specs = (suite) => [...suite.specs ?? [], ...(suite.suites ?? []).flatMap(specs)];
    return specs(JSON.parse(readFileSync(report, 'utf8'))).flatMap(({ title, tests }) => tests.map(({ projectName, status, results }) => ({
      name: `${projectName}: ${title}`, isPassed: ['expected', 'flaky'].includes(status), tries: results.length,
    })));
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

/** Runs the test of two processes of Node. The others in test/node that name ws-relay have no server. */
async function inNode({ folder, env }, own) {
  const alias = own ? {} : { '@trystero-p2p/ws-relay/server': join(import.meta.dirname, 'trystero-relay.mjs') };
  const words = ['--import', 'jiti/register', '--test', '--test-reporter', 'spec', '--test-name-pattern', '/ws-relay/', 'test/node/node.spec.ts'];
  for (let tries = 1; ; tries += 1) {
    const { code, text } = await output(`trystero-node${own ? '-own' : ''}`, 'node', words, { cwd: folder, env: { ...env, JITI_ALIAS: JSON.stringify(alias) } });
    const isPassed = code === 0 && text.includes('✔ Trystero: ws-relay connects');
    if (isPassed || tries > RETRIES) return [{ name: 'node: Trystero: ws-relay connects peers using node', isPassed, tries }];
  }
}

export async function trystero() {
  need(CHROMIUM, FIREFOX);
  const copy = await prepared();
  const judge = async (own) => [...await inBrowsers(copy, own), ...await inNode(copy, own)];
  const results = await judge(process.env.TRYSTERO_RELAY === 'own');
  const failed = results.filter(({ isPassed }) => !isPassed).map(({ name }) => name);
  if (failed.length > 0) throw new Error(`failed: ${failed.join(', ')}. See ${below('trystero-*.log')}`);
  const repeated = results.filter(({ tries }) => tries > 1).length;
  return `${results.length} tests in Chromium, Firefox and Node${repeated > 0 ? `, ${repeated} of them not at once` : ''}`;
}
