// The client for pages in the npm package: its types, what bundlers make of it, and the page of client/README.md in a browser.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { build } from 'vite';
import webpack from 'webpack';
import { buildPackage } from '../../client/build.mjs';
import { newPage } from '../lib/browser.mjs';
import { source } from '../lib/npm-package.mjs';
import { startServer } from '../lib/server.mjs';
import { LIMIT, until } from '../lib/within.mjs';

const run = promisify(execFile);
const clientTests = resolve(import.meta.dirname, '..');
const app = mkdtempSync(join(tmpdir(), 'peerbroker-client-'));
const folder = join(app, 'node_modules/peerbroker');
const { exports } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
const entries = Object.keys(exports).filter((entry) => exports[entry].import?.default.startsWith('./client/')).map((entry) => entry.replace('./', 'peerbroker/'));

before(async () => {
  mkdirSync(folder, { recursive: true });
  cpSync(source, folder, { recursive: true });
  cpSync(join(folder, 'lib/index.d.ts'), join(folder, 'lib/index.d.mts'));
  await buildPackage(join(folder, 'client'));
  symlinkSync(join(clientTests, '../npm/vendor/node_modules/peerjs'), join(app, 'node_modules/peerjs'));
  writeFileSync(join(app, 'package.json'), '{ "type": "module" }');
});

after(() => rmSync(app, { recursive: true, force: true }));

/** The listing of the README. */
const [, listing] = readFileSync(join(clientTests, '../client/README.md'), 'utf8').match(/```ts\n([^]*?)```/);

test('types are right for every entry, and for every way to look for them', { timeout: LIMIT }, async () => {
  const { stdout } = await run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', app], { cwd: folder, env: { ...process.env, NODE_OPTIONS: '' } });
  const tarball = createPackageFromTarballData(readFileSync(join(app, stdout.trim())));
  const { problems } = /** @type {any} */ (await checkPackage(tarball, { entrypoints: entries.map((entry) => entry.replace('peerbroker/', './')) }));
  assert.deepEqual(problems, []);
  assert.deepEqual((await publint({ pkgDir: folder, level: 'warning' })).messages, []);
});

test('importing does nothing, on a server too', { timeout: LIMIT }, async () => {
  const require = createRequire(join(app, 'app.js'));
  const names = new Set(Object.getOwnPropertyNames(globalThis));
  for (const entry of entries) {
    const asModule = await import(join(folder, exports[entry.replace('peerbroker', '.')].import.default));
    assert.deepEqual(Object.keys(require(entry)).sort(), Object.keys(asModule).sort(), entry);
  }
  assert.deepEqual(Object.getOwnPropertyNames(globalThis).filter((name) => !names.has(name)), []);
});

test('a page in TypeScript compiles as strictly as it gets', { timeout: LIMIT }, async () => {
  const uses = `${listing}
    import * as peerjs from 'peerjs';
    import { presetPeer } from 'peerbroker/peer';
    import { qrCode, shareLink } from 'peerbroker/share';
    import { install, type PipeOptions } from 'peerbroker/webrtc';
    const options: PipeOptions = { broker: 'https://broker.example/', key: 'k', token: async () => 'token' };
    install(options);
    install({ broker: location.href, token: 'token' });
    new RTCPeerConnection().addEventListener('pipe', ({ type }) => console.log(type));
    // @ts-expect-error: where is the broker?
    install({ key: 'k' });
    const mine = new (presetPeer(peerjs, 'https://broker.example/', { key: 'k' }))('id', { autoReconnect: false });
    const number: Promise<string> = mine.connect('other').safetyNumber();
    document.body.append(qrCode(shareLink()), await number);
    // @ts-expect-error: a room carries JSON only
    await room.send(new Map());
    const game = await joinRoom(peer, 'game', undefined, { host: false, writers: 'host' });
    const host: string | undefined = game.host;
    const first = await game.state.update<string>('buzz', (id) => id ?? peer.id);
    game.on('state', ({ name, value, from }) => console.log(name, value, from, first?.length, host, game.seats.get(peer.id)));
    for (const [name, value] of game.state) await game.state.set(name, value);
    // @ts-expect-error: a state is JSON only
    await game.state.set('map', new Map());
    // @ts-expect-error: nobody writes?
    await joinRoom(peer, 'game', undefined, { writers: 'nobody' });
    const everybody = await game.connectEverybody({ reliable: false, serialization: 'json' });
    everybody.on('data', ({ from, data }) => everybody.send(data, from));
    // @ts-expect-error: of which broker?
    presetPeer(peerjs);
  `;
  writeFileSync(join(app, 'page.ts'), uses);
  for (const [module, moduleResolution] of [['esnext', 'bundler'], ['node16', 'node16']]) {
    const compilerOptions = { strict: true, noEmit: true, target: 'es2022', lib: ['es2022', 'dom'], module, moduleResolution, types: [], exactOptionalPropertyTypes: true,
      // PeerJS's own types are none of node16.
      skipLibCheck: module === 'node16' };
    writeFileSync(join(app, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['page.ts'] }));
    const errors = await run(process.execPath, [join(clientTests, 'node_modules/typescript/bin/tsc'), '-p', app]).then(() => '', (error) => error.stdout);
    assert.equal(errors, '', module);
  }
});

/** Bundlers: the text of a page's script. Beside six other files of tests, webpack takes minutes. */
const BUNDLERS = {
  async Vite(code) {
    const entry = join(app, 'entry.ts');
    writeFileSync(entry, code);
    const output = /** @type {any} */ (await build({
      root: app, configFile: false, logLevel: 'silent', build: { write: false, target: 'es2022', lib: { entry, formats: ['es'] } },
    }));
    return output[0].output[0].code;
  },
  async webpack(code) {
    writeFileSync(join(app, 'entry.js'), code);
    const output = { path: app, filename: 'webpack.js', library: { type: 'module' } };
    const bundle = /** @type {(options: import('webpack').Configuration) => Promise<import('webpack').Stats>} */ (promisify(webpack));
    const stats = await bundle({ context: app, entry: './entry.js', mode: 'production', experiments: { outputModule: true }, output });
    assert.deepEqual(stats.toJson({ all: false, errors: true }).errors, []);
    return readFileSync(join(app, 'webpack.js'), 'utf8');
  },
};

for (const [bundler, built] of Object.entries(BUNDLERS)) {
  test(`${bundler} leaves out what a page does not import`, { timeout: 3 * LIMIT }, async () => {
    assert.equal((await built(entries.map((entry) => `import '${entry}';`).join('\n'))).trim(), '');
    const imports = "import * as rooms from 'peerbroker/rooms'; import * as webrtc from 'peerbroker/webrtc';";
    const share = await built(`${imports} export { shareLink } from 'peerbroker/share';`);
    assert.ok(share.includes('URL') && !share.includes('ROOM-JOIN') && !share.includes('RTCPeerConnection'), share);
    const rooms = await built(`${imports} export { joinRoom } from 'peerbroker/rooms';`);
    assert.ok(rooms.includes('ROOM-JOIN') && !rooms.includes('x25519'), rooms);
  });
}

test('the page of the README joins a room: bundled by Vite, by webpack, and as it stands with an import map', { timeout: 3 * LIMIT }, async (t) => {
  const site = join(app, 'site');
  mkdirSync(site);
  const server = await startServer(['--static_dir', site]);
  t.after(() => server.stop());
  const code = listing.replace('port: 9000', `port: ${server.port}`);
  cpSync(join(folder, 'client/rooms.mjs'), join(site, 'rooms.mjs'));
  cpSync(join(app, 'node_modules/peerjs/dist/peerjs.min.js'), join(site, 'peerjs.min.js'));
  const plain = `<script src="peerjs.min.js"></script><script type="importmap">{ "imports": { "peerbroker/rooms": "./rooms.mjs" } }</script>`;
  const scripts = await Promise.all(Object.values(BUNDLERS).map((built) => built(code)));
  const pages = [];
  for (const [index, script] of [...scripts, code.replace(/^import .* from 'peerjs';/m, '')].entries()) {
    writeFileSync(join(site, `${index}.html`), `<!doctype html>${index < scripts.length ? '' : plain}<script type="module">${script}</script>`);
    const page = await newPage('chromium');
    t.after(() => page.close());
    const heard = [];
    page.on('console', (message) => heard.push(message.text()));
    await page.goto(`http://127.0.0.1:${server.port}/${index}.html`);
    await until(`${index} others to see the page come, and to hear it`, () => pages.every((texts) => {
      return [/ Anna$/, /^hello$/].every((text) => texts.filter((line) => text.test(line)).length === index - pages.indexOf(texts));
    }));
    pages.push(heard);
  }
});
