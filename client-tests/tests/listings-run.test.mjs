// Each block of code of the documents runs in a test: most of them here, as they stand but for the address of the broker.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { build } from 'vite';
import { pages as ofResults } from '../../tests/conformance/compatibility.mjs';
import { dashboardOf } from '../lib/dashboard.mjs';
import { Keys } from '../lib/keys.mjs';
import { at, blocks, documents, indented, listing, read, root } from '../lib/listings.mjs';
import { Network } from '../lib/network.mjs';
import { installPackage } from '../lib/npm-package.mjs';
import { onNetwork } from '../lib/on-network.mjs';
import { PeerSocket, endSockets } from '../lib/peer-socket.mjs';
import { Run } from '../lib/run.mjs';
import { scratch } from '../lib/scratch.mjs';
import { binary, plainEnvironment, runCommand, selfSigned, startServer } from '../lib/server.mjs';
import { desktop, urlOf, visit } from '../lib/visit.mjs';
import { LIMIT, until } from '../lib/within.mjs';

const run = promisify(execFile);
const libraries = join(root, 'client-tests/node_modules');

/** Blocks that no test in JavaScript runs: where else, or why not. */
const ELSEWHERE = [
  ['docs/', 'exchange', 'tests/api/docs/examples.rs'],
  ['docs/', 'http', 'tests/api/docs/examples.rs'],
  ['docs/', 'rust', 'tests/api/docs/references.rs'],
  ['docs/WEBHOOKS.md', 'python', 'tests/api/docs/webhooks.rs'],
  ['docs/METRICS.md', 'yaml', 'tests/api/docs/metrics.rs, by promtool, as it is in deploy/prometheus'],
  ['docs/EMBEDDING.md', 'toml', 'Cargo would fetch the repository'],
  ['docs/DEPLOY.md', 'ini', 'for systemctl of a server'],
  ['docs/DEPLOY.md', 'nginx', 'has one address of many, and needs Cloudflare'],
];

test('every block of code runs in a test, or is named with the reason', () => {
  const tests = readdirSync(import.meta.dirname).map((name) => readFileSync(join(import.meta.dirname, name), 'utf8'));
  const calls = tests.flatMap((text) => Array.from(text.matchAll(/\blisting\('([^']+)', '(.+?)'\)/g), ([, document, part]) => ({ document, part: part.replaceAll('\\n', '\n') })));
  const unused = new Set(ELSEWHERE);
  for (const document of documents) {
    for (const { language, code } of blocks(document)) {
      const elsewhere = ELSEWHERE.filter(([of, kind]) => document.startsWith(of) && kind === language);
      elsewhere.forEach((one) => unused.delete(one));
      const runs = calls.some((call) => call.document === document && listing(document, call.part) === code);
      assert.ok(runs || elsewhere.length > 0, `no test runs this of ${document}:\n${code}`);
    }
  }
  assert.deepEqual([...unused], []);
});

const PEERJS = '<script src="/peerjs-1.5.5.min.js"></script>';
const script = (code, type = '') => `<script ${type}>${code}</script>`;
const asModule = (code) => script(code, 'type="module"');
/** PeerJS would ask public servers. */
const STUN = ['--stun_url', 'stun:127.0.0.1:9'];

/** A broker that serves a page with the HTML of `body(server)`. */
async function site(visit, body, flags = []) {
  const app = scratch();
  const server = await visit.server(['--static_dir', app, ...flags]);
  writeFileSync(join(app, 'index.html'), `<!doctype html><title>mine</title><link rel="icon" href="data:,"><body>${at(server, body)}`);
  return server;
}

/** A broker that serves code as Vite bundles it. */
async function bundled(visit, code, { at: app = scratch(), flags = [] } = {}) {
  const dist = join(app, 'dist');
  mkdirSync(dist);
  const server = await visit.server(['--static_dir', dist, ...flags]);
  writeFileSync(join(app, 'index.html'), '<!doctype html><title>mine</title><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>');
  writeFileSync(join(app, 'page.js'), at(server, code));
  await build({ root: app, configFile: false, logLevel: 'silent', build: { emptyOutDir: true } });
  return server;
}

const libraryFolder = () => {
  const app = scratch();
  symlinkSync(libraries, join(app, 'node_modules'));
  return app;
};

for (const [name, body] of Object.entries({
  'the two lines of the README': listing('README.md', 'new Peer();</script>'),
  'the options of the README of the package': PEERJS + script(listing('npm/peerbroker/README.md', 'new Peer(')),
  'the options of TROUBLESHOOTING': PEERJS + script(listing('docs/TROUBLESHOOTING.md', 'debug: 2')),
  'the options of OPERATING': PEERJS + script(listing('docs/OPERATING.md', 'location.port')),
  'the script in place of that of the cloud': listing('docs/MIGRATING.md', 'unpkg.com') + script('const peer = new Peer();'),
  'the ICE servers of CALLS': PEERJS + asModule(`${listing('docs/CALLS.md', 'async function iceConfig')}${listing('docs/CALLS.md', 'const ice =')}
    window.peer = peer;
    window.told = [peer.options.config, connection.getConfiguration()].flatMap(({ iceServers }) => iceServers.flatMap(({ urls }) => urls));`),
})) {
  visit(`a page opens its peer by ${name}`, async (visit) => {
    const server = await site(visit, body, STUN);
    const page = await visit.open(desktop, urlOf(server, '/'));
    await page.waitForFunction('typeof peer !== "undefined" && peer.open');
    if (body.includes('iceConfig')) assert.deepEqual(await page.evaluate('told'), ['stun:127.0.0.1:9', 'stun:127.0.0.1:9']);
  });
}

visit('a page opens its peer by a token that its server has signed', async (visit) => {
  const secrets = scratch();
  const flags = ['--data_dir', join(secrets, 'data')];
  const [key] = indented('docs/KEYS.md').filter((block) => block.includes('jwt_secret_file'));
  await runCommand('keys', 'add', ...flags, '--key', 'mykey');
  await shell(secrets, key);
  const [mint] = indented('docs/KEYS.md').filter((block) => block.includes('mint.mjs'));
  const token = (await shell(secrets, mint.replace('examples/', `${root}/examples/`))).trim();
  const server = await site(visit, PEERJS + asModule(`${listing('docs/KEYS.md', 'peer-token').replace('token });', "token, key: 'mykey' });")}\nwindow.peer = peer;`), flags);
  const page = await visit.page(desktop);
  await page.route('**/your/api/peer-token', (route) => route.fulfill({ json: { id: 'alice', token } }));
  await page.goto(urlOf(server, '/'));
  await page.waitForFunction('window.peer?.open');
  assert.equal(await page.evaluate('peer.id'), 'alice');
});

visit('rooms by PeerJS alone, and by rooms.js', async (visit) => {
  const own = `${script('const peer = new Peer("anna"); const show = (members) => { window.members = members; };')}`;
  const server = await site(visit, listing('docs/USE.md', '<script src="/peerjs.js"></script>\n<script src="/rooms.js"></script>') + own + script(listing('docs/PROTOCOL.md', 'show(message.members)')));
  const page = await visit.open(desktop, urlOf(server, '/'));
  await page.waitForFunction('window.members');
  assert.deepEqual(await page.evaluate('members'), [{ id: 'anna', data: { name: 'Anna' } }]);
  assert.deepEqual(await page.evaluate('joinRoom(peer, "lobby").then(({ members }) => [...members.keys()])'), ['anna']);
});

visit('with the script of CALLS, data of a page without WebRTC goes over a pipe, and getStats says so', async (visit) => {
  const server = await site(visit, listing('docs/CALLS.md', 'webrtc.js') + PEERJS + script(`const peer = new Peer(location.hash.slice(1), ${"{ host: 'localhost', port: 9000 }"});
    peer.on('connection', (connection) => connection.on('data', (data) => connection.send('heard ' + data)));`), STUN);
  const open = async (name, options) => {
    const page = await visit.open(desktop, urlOf(server, `/#${name}`), options);
    await page.waitForFunction('peer.open');
    return page;
  };
  await open('anna');
  const page = await open('ben', { webRtc: false });
  const [expression] = read('docs/CALLS.md').match(/connection\.peerConnection\.getStats\(\)/);
  const types = await page.evaluate(`new Promise((done) => {
    const connection = peer.connect('anna');
    connection.on('open', () => connection.send('hello'));
    connection.on('data', async (data) => done([data, ...Array.from((await ${expression}).values(), ({ type }) => type)]));
  })`);
  assert.equal(types[0], 'heard hello');
  assert.ok(types.includes('pipe'), String(types));
});

visit('room codes: the screen and a phone', async (visit) => {
  visit.tolerate(/asks stun:/);
  visit.allow('unpkg.com');
  const library = listing('docs/CHOOSING.md', 'unpkg.com/simple-peer');
  const app = scratch();
  const server = await visit.server(['--static_dir', app]);
  const open = async (code, ...prompts) => {
    const page = await visit.page(desktop);
    await page.route('https://unpkg.com/**', (route) => route.fulfill({ path: join(libraries, 'simple-peer/simplepeer.min.js') }));
    const said = [];
    page.on('console', (message) => said.push(message.text()));
    page.on('dialog', (dialog) => dialog.accept(prompts.shift()));
    writeFileSync(join(app, 'index.html'), `<!doctype html><title>mine</title><link rel="icon" href="data:,">${library}${script(at(server, code))}`);
    await page.goto(urlOf(server, '/'));
    return said;
  };
  const screen = await open(listing('docs/CHOOSING.md', 'createRoom'));
  const code = () => screen.map((text) => text.match(/^the room is (\w{4})$/)?.[1]).find(Boolean);
  await until('the code', code);
  await open(listing('docs/CHOOSING.md', 'joinRoom", room'), code(), 'Anna');
  await until('hello', () => screen.includes('Anna: hello'));
});

visit('calls: the page, and the page with the id that it logs', async (visit) => {
  const server = await site(visit, script(listing('docs/CHOOSING.md', 'remoteId = location')));
  const page = await visit.page(desktop);
  const told = page.waitForEvent('console', (message) => message.text().startsWith('open this page with #'));
  await page.goto(urlOf(server, '/'));
  const other = await visit.open(desktop, urlOf(server, `/#${(await told).text().split('#')[1]}`));
  for (const one of [page, other]) await one.waitForFunction('video.currentTime > 0');
});

for (const [name, code] of Object.entries({
  'a document of Yjs': `${listing('docs/CHOOSING.md', 'WebrtcProvider')}
    const map = doc.getMap('');
    map.observe(() => { window.met = map.size > 1; });
    map.set(String(doc.clientID), '');`,
  'a room of Trystero': `${listing('docs/CHOOSING.md', 'relayConfig: { urls')}
    room.onPeerJoin = () => { window.met = true; };`,
})) {
  visit(`topics: two pages meet in ${name}, as Vite bundles it`, async (visit) => {
    visit.tolerate(/asks stun:/);
    const server = await bundled(visit, code, { at: libraryFolder() });
    const pages = [await visit.open(desktop, urlOf(server, '/')), await visit.open(desktop, urlOf(server, '/'))];
    for (const page of pages) await page.waitForFunction('window.met');
  });
}

onNetwork('two pages behind two symmetric NATs meet in a room of Trystero by TURN, with a key', () => Network.symmetricNats(), async (stage) => {
  const { address } = stage.network;
  const keys = new Keys();
  await keys.add('mykey');
  const code = `window.met = new Promise((met) => { window.meet = met; });
    ${listing('docs/CHOOSING.md', 'rtcConfig')}
    room.onPeerJoin = window.meet;`;
  const server = await bundled(stage, code, { at: libraryFolder(), flags: [...keys.flags, '--relay', address, '--turn', address] });
  const pages = [await stage.visit('a', urlOf(server, '/', server.host)), await stage.visit('b', urlOf(server, '/', server.host))];
  for (const page of pages) assert.ok(await page.run(() => window.met));
});

for (const [fault, status, refusal, ...key] of [
  ['there is no such key', '401 (Unauthorized)', 'Invalid key provided', 'other'],
  ['its key is for other origins', '403 (Forbidden)', 'This origin may not use the key', 'mykey', '--origin', 'https://example.org'],
]) {
  visit(`a page of Trystero says that ${fault}`, async (visit) => {
    const document = read('docs/CHOOSING.md');
    for (const words of [status, refusal]) assert.ok(document.includes(`\`${words}\``), words);
    const keys = new Keys();
    await keys.add(...key);
    const code = listing('docs/CHOOSING.md', 'rtcConfig');
    // Without the question for ICE servers, which fails first.
    for (const [says, part] of [[status, code], [refusal, code.replace(/const answer[^]*json\(\);/, 'const iceServers = [];')]]) {
      const server = await bundled(visit, part, { at: libraryFolder(), flags: keys.flags });
      visit.tolerate(/./);
      await visit.open(desktop, urlOf(server, '/'));
      await until(says, () => visit.complaints.some((text) => text.includes(says)));
    }
  });
}

visit('the module of the package gives a browser its WebRTC', async (visit) => {
  // As docs/CALLS.md has it in a sentence.
  const code = "import { install } from 'peerbroker/webrtc'; install({ broker: 'https://broker.example.com/' }); window.kind = typeof RTCPeerConnection;";
  const server = await bundled(visit, code, { at: installPackage() });
  const page = await visit.open(desktop, urlOf(server, '/'), { webRtc: false });
  await page.waitForFunction('window.kind === "function"');
});

for (const [name, code] of Object.entries({
  'docs/MIGRATING.md': listing('docs/MIGRATING.md', 'ExpressPeerServer'),
  'the README of the package': listing('npm/peerbroker/README.md', 'ExpressPeerServer'),
})) {
  test(`an app of Express mounts the broker by the lines of ${name}`, async (t) => {
    const cwd = installPackage();
    const before = "const app = require('express')(); const server = app.listen(0, '127.0.0.1', () => console.log('port ' + server.address().port));";
    const app = new Run(process.execPath, ['--eval', `${before}\n${code}`], { cwd, env: plainEnvironment() });
    t.after(() => app.kill());
    const [, port] = await app.line(/^port (\d+)$/);
    const answer = await fetch(`http://127.0.0.1:${port}/peerjs/myapp/peerjs/id`);
    assert.equal((await answer.text()).length, 36);
  });
}

/** A folder with the files that commands and settings name. */
function machine() {
  const home = scratch();
  mkdirSync(join(home, 'dist'));
  const { key, cert } = selfSigned();
  for (const [name, file] of [['lan.key', key], ['lan.pem', cert], ['privkey.pem', key], ['fullchain.pem', cert], ['ca.pem', cert]]) symlinkSync(file, join(home, name));
  writeFileSync(join(home, 'turn-secret'), 'a'.repeat(64));
  return home;
}

/** The code with this folder in place of those of a server. */
const inFolder = (home, code) => code.replaceAll(/\/(etc\/peerbroker|var\/lib\/peerbroker|run\/credentials\/peerbroker\.service)/g, home);

/** The programs of commands as a test has them: servers check their settings, clients ask the API of a server of the test. */
const PROGRAMS = {
  peerbroker: `case "$1" in keys|init|backup|config) exec ${binary} "$@";; *) exec ${binary} config check "$@";; esac`,
  curl: 'exec /usr/bin/curl --silent --show-error --fail-with-body "$@"',
};

/** Runs commands in a folder, where one that fails is an error. Resolves with the output. */
async function shell(cwd, commands) {
  const programs = scratch();
  for (const [name, code] of Object.entries(PROGRAMS)) writeFileSync(join(programs, name), `#!/bin/sh\n${code}\n`, { mode: 0o755 });
  const { stdout } = await run('sh', ['-e', '-c', commands], { cwd, env: { ...plainEnvironment(), PATH: programs + delimiter + process.env.PATH } });
  return stdout;
}

/** Commands that run nowhere here, and why. @type {[RegExp, string][]} */
const NOT_RUN = [
  [/^(npx|npm|sudo|docker|git)\b/m, 'changes the machine, or fetches from a registry'],
  [/^cloudflared\b/m, 'needs Cloudflare'],
  [/^peerbroker doctor\b/m, 'needs a public name'],
  [/"\$OLD"/, 'needs a server that is replaced'],
  [/^mkcert\b/m, 'makes the machine trust an authority'],
  [/^peerbroker (listen|connect)\b/m, 'waits for another end: programs.test.mjs has both'],
];

test('the commands of the documents are accepted, by the program and by the API, whose table has all its paths', { timeout: LIMIT }, async (t) => {
  const data = join(scratch(), 'data');
  const server = await startServer(['--data_dir', data, '--ops_port', '0']);
  t.after(() => {
    endSockets();
    return server.stop();
  });
  const { port, api } = await dashboardOf(server, '');
  let ran = 0;
  for (const document of documents) {
    const home = machine();
    for (const block of indented(document).filter((block) => /^(?:[A-Z_]+=\S+ )?(?:\S*\/)?(?:peerbroker|curl) /m.test(block))) {
      if (NOT_RUN.some(([shape]) => shape.test(block))) continue;
      const [needsKeys, key = 'my-game'] = block.match(/^peerbroker (?:keys set (\S+)|backup)/m) ?? [];
      if (needsKeys) await runCommand('keys', 'add', '--data_dir', join(home, 'data'), '--key', key).catch(() => {});
      if (block.includes('peers/alice')) await PeerSocket.open(urlOf(server, '/'), { id: 'alice', key: 'my-game', origin: 'https://game.example.org' });
      const commands = inFolder(home, block.replaceAll('localhost:9001', `127.0.0.1:${port}`).replaceAll('target/release/', '').replaceAll('…', 'x'));
      await shell(home, commands);
      ran += 1;
    }
  }
  assert.ok(ran > 25, String(ran));
  assert.equal((await api('GET', '/api/keys/my-game')).json.concurrent_limit, 100);

  const shape = (path) => path.replaceAll(/\{\w+\}/g, '{}');
  const rows = Array.from(read('docs/API.md').matchAll(/^\| (`(?:GET|POST|PUT|PATCH|DELETE)\b.*?) \| \d/gm), ([, requests]) => requests);
  const named = rows.flatMap((row) => Array.from(row.matchAll(/[/…][^`]+/g), ([path]) => shape(path)));
  const paths = ['/api/openapi.json', ...Object.keys((await api('GET', '/api/openapi.json')).json.paths).map(shape)];
  const isOf = (name) => (path) => (name.startsWith('…') ? path.endsWith(name.slice(1)) : path === name);
  assert.deepEqual(named.filter((name) => !paths.some(isOf(name))), []);
  assert.deepEqual(paths.filter((path) => !named.some((name) => isOf(name)(path))), []);
});

test('COMPATIBILITY and README have the recorded results of the suites of others', () => {
  for (const [document, text] of Object.entries(ofResults())) assert.equal(read(document), text, `node tests/conformance/compatibility.mjs writes ${document}`);
});

test('what CHOOSING says of libraries that meet nobody is in them', () => {
  const library = (path) => readFileSync(join(libraries, path), 'utf8');
  assert.match(library('y-webrtc/src/y-webrtc.js'), /signaling = \['wss:\/\/y-webrtc-eu\.fly\.dev'\]/);
  assert.match(library('rxdb/dist/esm/plugins/replication-webrtc/connection-handler-simple-peer.js'), /newRxError\('RC7'\)/);
  const trystero = library('@trystero-p2p/core/dist/utils.mjs');
  assert.ok(/relayConfig\?\.urls \|\|/.test(trystero) && !trystero.includes('relayUrls'));
});

test('the documents name the releases of libraries that these tests have', () => {
  const installed = ['client-tests', 'npm/vendor'].map((folder) => JSON.parse(read(`${folder}/package.json`)));
  const versions = Object.assign({}, ...installed.flatMap(({ dependencies, devDependencies }) => [dependencies, devDependencies]));
  const named = documents.flatMap((document) => Array.from(read(document).matchAll(/unpkg\.com\/([\w.-]+)@([\d.]+)/g)));
  assert.ok(named.length > 3, String(named.length));
  for (const [url, name, version] of named) assert.equal(versions[name]?.replace('^', ''), version, url);
});

test('the settings of the documents are valid', async () => {
  const home = machine();
  for (const secret of ['admin.token', 'turn-secret']) writeFileSync(join(home, secret), 'a'.repeat(64));
  const { publicKey } = generateKeyPairSync('ed25519');
  writeFileSync(join(home, 'jwks.json'), JSON.stringify({ keys: [publicKey.export({ format: 'jwk' })] }));
  const file = join(home, 'peerbroker.toml');
  for (const code of [listing('docs/CONFIG.md', 'cors ='), listing('docs/CONFIG.md', '[[api_key]]'), listing('docs/DEPLOY.md', 'acme ='), listing('docs/DEPLOY.md', 'turn =')]) {
    writeFileSync(file, inFolder(home, code));
    await runCommand('config', 'check', '--config', file);
  }
});
