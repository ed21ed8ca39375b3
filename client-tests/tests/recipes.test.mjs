// Peers without a browser: the program of docs/PROGRAMS.md and examples/peer.py, each beside a page in Chromium that has WebRTC; and the build
// without a DOM.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { createContext, runInContext, runInNewContext } from 'node:vm';
import { WebSocket } from 'ws';
import { buildPackage } from '../../client/build.mjs';
import { bundle } from '../../client/bundle.mjs';
import { pythonPackages } from '../../tests/conformance/tools.mjs';
import { at, listing, root } from '../lib/listings.mjs';
import { installPackage } from '../lib/npm-package.mjs';
import { startPipePages } from '../lib/pipe-pages.mjs';
import { Run } from '../lib/run.mjs';
import { folderWith, scratch } from '../lib/scratch.mjs';
import { plainEnvironment } from '../lib/server.mjs';
import { isThorough } from '../lib/thorough.mjs';
import { desktop, visit } from '../lib/visit.mjs';
import { LIMIT, within } from '../lib/within.mjs';

const exec = promisify(execFile);

const PAGE = `<script src="/peerjs.js"></script><script>
  window.peer = new Peer('my-page');
  peer.on('connection', (connection) => connection.on('data', (data) => connection.send('thank you for ' + data)));
</script>`;

/** A page whose peer is open, and the server between it, the program and the broker. */
async function openPage(visit) {
  // Otherwise PeerJS would ask public servers.
  const broker = await visit.server(['--static_dir', folderWith(PAGE), '--stun_url', 'stun:127.0.0.1:9']);
  const server = await visit.keep('proxies', startPipePages({ broker }));
  const page = await visit.open(desktop, server.url);
  await page.waitForFunction('peer.open');
  return { server, page };
}

/** Starts a program, which ends with the test. */
async function start(visit, program, words, options) {
  const run = new Run(program, words, options);
  await visit.keep('proxies', { stop: () => run.kill() });
  return run;
}

/** Runs in the page. Sends values to a program that sends them back; resolves with those that differ, and the way of the data. */
async function echo({ serialization, values, sizes = [] }) {
  const connection = ((window.lines ??= {})[serialization] ??= window.peer.connect('my-program', { serialization }));
  if (!connection.open) await new Promise((open) => connection.once('open', open));
  const plain = (value) => (value.byteLength ? String(new Uint8Array(value)) : JSON.stringify(value));
  const wrong = [];
  for (const value of [...values, ...sizes.map((length) => Uint8Array.from({ length }, (_, at) => at % 251))]) {
    connection.send(value);
    const heard = await new Promise((data) => connection.once('data', data));
    if (plain(heard) !== plain(value)) wrong.push([plain(value).slice(0, 100), plain(heard).slice(0, 100)]);
  }
  const kinds = Array.from((await connection.peerConnection.getStats()).values(), ({ type }) => type);
  return { wrong, isPipe: kinds.includes('pipe') };
}

const GOOD = { wrong: [], isPipe: true };
const VALUES = ['text', { list: [1, 'two', null], half: 0.5 }];

/** Runs in the page. Tells a program to destroy its peer; resolves when its connection has closed. */
function leave() {
  const { binary } = window.lines;
  binary.send('leave');
  return new Promise((closed) => binary.once('close', () => closed(null)));
}

/** Those of the registry take 700 MB. */
const RUNTIMES = {
  'this Node': [process.execPath, '--experimental-websocket'],
  ...(isThorough && {
    'Node 20': ['npx', '--yes', 'node@20.20.2', '--experimental-websocket'],
    'Node 22': ['npx', '--yes', 'node@22.23.3'],
    'Node 24': ['npx', '--yes', 'node@24.21.0'],
    'Deno': ['npx', '--yes', 'deno@2.9.6', 'run', '--allow-net', '--allow-env'],
    'Bun': ['npx', '--yes', 'bun@1.4.5'],
  }),
};

for (const [name, [program, ...words]] of Object.entries(RUNTIMES)) {
  visit(`PeerJS in ${name} by the program of USE, and a page`, async (visit) => {
    const { server, page } = await openPage(visit);
    const cwd = installPackage();
    await buildPackage(join(cwd, 'node_modules/peerbroker/client'));
    symlinkSync(join(root, 'npm/vendor/node_modules/peerjs'), join(cwd, 'node_modules/peerjs'));
    writeFileSync(join(cwd, 'package.json'), '{}');
    // PeerJS 1.5.5 skips the second connection with one peer when it destroys them all.
    const obey = "peer.on('connection', (connection) => connection.on('data', (data) => data === 'leave' && (connection.close(), peer.destroy())));";
    writeFileSync(join(cwd, 'peer.cjs'), at(server, listing('docs/PROGRAMS.md', '// peer.cjs')) + obey);
    const run = await start(visit, program, [...words, 'peer.cjs'], { cwd, env: plainEnvironment() });
    await run.line(/^my-page says thank you for hello$/);
    assert.deepEqual(await page.evaluate(echo, { serialization: 'binary', values: VALUES, sizes: [3, 1_048_576] }), GOOD);

    const closed = page.evaluate(leave);
    assert.equal((await run.end()).code, 0, 'it ends by itself');
    await closed;
  });
}

visit('a peer in Python, examples/peer.py, and a page whose sockets are lost', async (visit) => {
  const { server, page } = await openPage(visit);
  const env = await pythonPackages('python3', 'websockets==17.4', 'cryptography==50.0.2');
  const run = await start(visit, 'python3', [join(root, 'examples/peer.py'), server.url.replace('http', 'ws'), 'my-program'], { env });
  await run.line(/OPEN/);
  assert.deepEqual(await page.evaluate(echo, { serialization: 'json', values: VALUES }), GOOD);
  for (const loss of [0, 1, 0, 1]) {
    server.drop(loss);
    assert.deepEqual(await page.evaluate(echo, { serialization: 'json', values: VALUES }), GOOD);
  }
  assert.equal(server.openings, 5);
  assert.deepEqual(await page.evaluate(echo, { serialization: 'raw', values: ['text'], sizes: [3, 65_000] }), GOOD);
});

/** What React Native gives an engine: its `URL` has no setters, so apps take that of react-native-url-polyfill. */
const GIVEN = `import { URL } from 'react-native-url-polyfill';
  import { fromByteArray, toByteArray } from 'base64-js';
  const btoa = (text) => fromByteArray(Uint8Array.from(text, (letter) => letter.charCodeAt(0)));
  const atob = (text) => String.fromCharCode(...toByteArray(text + '='.repeat(-text.length & 3)));
  const getRandomValues = (bytes) => bytes.set(Array.from(bytes, () => Math.random() * 256)) ?? bytes;
  Object.assign(globalThis, { URL, btoa, atob, crypto: { getRandomValues }, console: { warn: print } });`;

/** What the program of an engine prints. */
const TALKED = { wrong: [], text: 'größer 🙂 \uFFFD', isLargeSame: true, again: 'again', isAnswered: true, turn: 2, state: 'disconnected' };
const PROGRAM = join(root, 'client-tests/lib/engine-program.js');

test('the build without a DOM talks in an engine that has none', async () => {
  const code = await bundle(PROGRAM, { hasDom: false });
  const printed = new Promise((print) => { runInNewContext(code, { print, URL, btoa, atob, crypto, console, setTimeout }); });
  assert.deepEqual(JSON.parse(await within('the program', printed)), TALKED);
});

visit('PeerJS over the build without a DOM, by the program of USE in an engine that has none, and a page', async (visit) => {
  const { server, page } = await openPage(visit);
  const given = { WebSocket, URL, Blob, TextEncoder, TextDecoder, btoa, atob, crypto, setTimeout, clearTimeout, navigator: {} };
  const heard = new Promise((log) => { Object.assign(given, { console: { log } }); });
  const engine = createContext(given);
  runInContext(`var window = globalThis; ${await bundle(join(root, 'client/src/pipe/install.js'), { name: 'webrtc', hasDom: false })}`, engine);
  const peerjs = readFileSync(join(root, 'npm/vendor/node_modules/peerjs/dist/peerjs.min.js'), 'utf8');
  Object.assign(engine, { require: (name) => (name === 'peerjs' ? runInContext(`${peerjs}; window`, engine) : engine.webrtc) });
  runInContext(at(server, listing('docs/PROGRAMS.md', '// peer.cjs')), engine);
  assert.equal(await within('the page', heard), 'my-page says thank you for hello');
  assert.deepEqual(await page.evaluate(echo, { serialization: 'binary', values: VALUES, sizes: [3, 1_048_576] }), GOOD);
  assert.deepEqual(await page.evaluate(echo, { serialization: 'json', values: VALUES }), GOOD);
  runInContext("[...peer.connections['my-page']].forEach((connection) => connection.close()); peer.destroy();", engine);
});

test("the build without a DOM talks in Hermes, as React Native's Babel compiles it", { skip: !isThorough, timeout: LIMIT }, async () => {
  const cwd = scratch();
  const packages = ['hermes-engine-cli@0.12.0', '@react-native/babel-preset@0.79.7', '@babel/core@7', 'react-native-url-polyfill@4.0.0', 'base64-js@1.5.1'];
  await exec('npm', ['install', '--prefix', cwd, '--no-audit', '--no-fund', '--legacy-peer-deps', ...packages]);
  writeFileSync(join(cwd, 'given.js'), GIVEN);
  const given = await bundle(join(cwd, 'given.js'), { globals: { 'react-native': '{ NativeModules: {}, Platform: {} }' } });
  const code = given + await bundle(PROGRAM, { hasDom: false });
  const { transformSync } = createRequire(join(cwd, 'x.js'))('@babel/core');
  const presets = [['@react-native/babel-preset', { enableBabelRuntime: false, disableImportExportTransform: true }]];
  writeFileSync(join(cwd, 'program.js'), transformSync(code, { cwd, filename: join(cwd, 'program.js'), configFile: false, presets }).code);
  const { stdout } = await exec(join(cwd, 'node_modules/hermes-engine-cli/linux64-bin/hermes'), [join(cwd, 'program.js')]);
  assert.deepEqual(JSON.parse(stdout), TALKED);
});
