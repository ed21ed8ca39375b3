// bittorrent-tracker's own tests of its client over WebSockets. peerbroker takes the place of the server.

import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { binary } from '../../client-tests/lib/server.mjs';
import { libjuiceModule } from './programs.mjs';
import { Skipped, below, npmPackages, output } from './tools.mjs';

const VERSION = '11.2.3';
const PACKAGES = [`bittorrent-tracker@${VERSION}`, 'magnet-uri@7.0.8', 'tape@5.9.0', 'undici@6.29.1', 'webtorrent-fixtures@2.0.3'];

/** The others have no test that a tracker of WebSockets without their server's options can pass. README.md lists them. */
const FILES = ['client', 'client-large-torrent', 'client-magnet', 'client-ws-socket-pool', 'destroy', 'scrape', 'server'];

/** Tests of a server over WebSockets. Those of invalid URLs have no server. */
const WANTED = /^(?!.*invalid).*\b(ws|websockets)\b/;

/** Assertions on objects that only their own server has. */
const UNKNOWN = { 'ws server': 6 };

/** A test that takes longer has failed. */
const TIMEOUT = 20_000;

/** Writes a module in the place of a package that is found from a folder. */
function replacePackage(folder, name, text) {
  const path = join(folder, 'node_modules', name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'package.json'), JSON.stringify({ name, type: 'module', exports: './index.js' }));
  writeFileSync(join(path, 'index.js'), text);
}

/** Makes a copy of the repository, beside its packages. Resolves with its folder. */
async function prepared() {
  const source = process.env.TRACKER_SOURCE ?? below('bittorrent-tracker-source');
  if (!existsSync(source)) throw new Skipped(`there is no ${source}: set TRACKER_SOURCE to a copy of bittorrent-tracker's repository at ${VERSION}`);
  const packages = await npmPackages('bittorrent-tracker-tests', ...PACKAGES);
  const folder = join(packages, 'repository');
  rmSync(folder, { recursive: true, force: true });
  for (const name of ['package.json', 'index.js', 'client.js', 'server.js', 'lib', 'test']) cpSync(join(source, name), join(folder, name), { recursive: true });
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  if (version !== VERSION) throw new Skipped(`${source} is bittorrent-tracker ${version}: expected ${VERSION}`);
  const common = (name) => join(folder, 'test', name);
  renameSync(common('common.js'), common('their-common.js'));
  writeFileSync(common('common.js'), `
    import theirs from './their-common.js';
    import { createServer } from ${JSON.stringify(join(import.meta.dirname, 'tracker-server.mjs'))};
    export default { ...theirs, createServer };
  `);
  replacePackage(folder, 'tape', 'export const all = []; export default (name, run) => all.push({ name, run });');
  // The binary of its own node-datachannel is not in a package.
  const webrtc = JSON.stringify(await libjuiceModule());
  replacePackage(packages, 'webrtc-polyfill', `export * from ${webrtc}; export { default } from ${webrtc};`);
  return folder;
}

/** Runs the tests of all files. It prints the events of tape as lines of JSON. */
const RUN = `
  import { all } from 'tape';
  import tape from '../node_modules/tape/index.js';
  for (const name of ${JSON.stringify(FILES)}) await import('./test/' + name + '.js');
  const line = ({ type, id, test, name, ok }) => JSON.stringify({ type, id, test, name: String(name), ok });
  // A test that fails may leave a server.
  tape.createStream({ objectMode: true }).on('data', (event) => console.log(line(event))).on('end', () => process.exit());
  for (const { name, run } of all.filter(({ name }) => ${WANTED}.test(name))) tape(name, { timeout: ${TIMEOUT} }, run);
`;

export async function trackerClient() {
  const folder = await prepared();
  const log = below('tracker-client.log');
  const { code, text } = await output('tracker-client', process.execPath, ['--input-type=module', '-e', RUN], {
    cwd: folder, env: { ...process.env, PEERBROKER_BIN: binary },
  });
  const events = text.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  const tests = events.filter(({ type }) => type === 'test');
  const assertions = events.filter(({ type }) => type === 'assert');
  const failed = tests.filter(({ id, name }) => assertions.filter(({ test, ok }) => test === id && !ok).length !== (UNKNOWN[name] ?? 0));
  if (tests.length === 0) throw new Error(`no test has run: see ${log}`);
  if (failed.length > 0) throw new Error(`failed: ${failed.map(({ name }) => name).join(', ')}: see ${log}`);
  if (code > 1) throw new Error(`the tests ended with ${code}: see ${log}`);
  return `${tests.length} tests, ${assertions.filter(({ ok }) => ok).length} of their ${assertions.length} assertions`;
}
