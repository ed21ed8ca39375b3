// The listings of docs/USE.md and others do in browsers what the text says, and compile in TypeScript.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { build } from 'vite';
import { buildPackage } from '../../client/build.mjs';
import { scan } from '../lib/demos.mjs';
import { blocks, listing, read } from '../lib/listings.mjs';
import { source } from '../lib/npm-package.mjs';
import { folderWith, scratch } from '../lib/scratch.mjs';
import { freePort } from '../lib/shipped-proxy.mjs';
import { UNREACHABLE, desktop, phone, urlOf, visit } from '../lib/visit.mjs';
import { until, within } from '../lib/within.mjs';

const clientTests = resolve(import.meta.dirname, '..');

visit('a page keeps its id over a reload, and a duplicated tab gets one of its own', async (visit) => {
  const script = listing('docs/USE.md', 'pagehide').replace('const peer', 'const peer = window.peer');
  const app = folderWith(`<script src="/peerjs.js"></script><script>${script}</script>`);
  const server = await visit.server(['--static_dir', app]);
  const page = await visit.open(desktop, urlOf(server, '/'));
  const idOf = (page) => page.waitForFunction(() => window.peer?.open && window.peer.id).then((id) => id.jsonValue());
  const id = await idOf(page);

  await page.reload();
  assert.equal(await idOf(page), id);

  // A page that another one opens has a copy of its storage, as has a duplicated tab.
  const opened = page.context().waitForEvent('page');
  await page.evaluate(() => { window.open(location.href); });
  const copy = await within('the copy', opened);
  const other = await idOf(copy);
  assert.notEqual(other, id);
  await copy.reload();
  assert.equal(await idOf(copy), other);
  assert.equal(await page.evaluate(() => window.peer.open && window.peer.id), id);
});

visit('the first page says hello, and again when it is back after a restart of the broker', async (visit) => {
  const app = folderWith(`${listing('docs/USE.md', '<script src="/peerjs.js"></script>')}<script>${listing('docs/USE.md', 'open this page with')}</script>`);
  // Otherwise PeerJS would ask public servers.
  const flags = ['--static_dir', app, '--stun_url', 'stun:127.0.0.1:9', '--port', String(await freePort())];
  const server = await visit.server(flags);
  visit.tolerate(UNREACHABLE);
  visit.tolerate(/network Lost connection to server/);
  const says = async (page, what) => within(what, page.waitForEvent('console', (message) => what.test(message.text())));
  const page = await visit.page(desktop);
  const opened = says(page, /^open this page with #/);
  await page.goto(urlOf(server, '/'));
  const [, hash] = (await opened).text().match(/(#.+)$/);
  const heard = says(page, /^heard: hello$/);
  const other = await visit.open(desktop, urlOf(server, `/${hash}`));
  await heard;

  const openedAgain = says(page, /^open this page with #/);
  const heardAgain = says(page, /^heard: hello$/);
  await server.stop();
  await visit.server(flags);

  assert.ok((await openedAgain).text().endsWith(hash));
  await heardAgain;
  assert.equal(await other.evaluate('peer.open'), true);
});

visit('my slides, my phone: a phone scans the code and turns the slides', async (visit) => {
  const app = folderWith(listing('docs/USE.md', 'reveal'));
  // Otherwise PeerJS would ask public servers.
  const server = await visit.server(['--static_dir', app, '--stun_url', 'stun:127.0.0.1:9']);
  const fromDisk = (page) => page.route('https://unpkg.com/**', (route) => {
    const [, file] = route.request().url().match(/unpkg\.com\/reveal\.js@5\.2\.1\/(dist\/[\w.]+)$/);
    return route.fulfill({ path: join(clientTests, 'node_modules/reveal.js', file) });
  });
  visit.allow('unpkg.com');
  const slides = await visit.page(desktop);
  await fromDisk(slides);
  await slides.goto(urlOf(server, '/', 'lan.test'));
  await slides.locator('svg').waitFor();
  const link = await scan(slides, 'svg');
  const hand = await visit.page(phone);
  await fromDisk(hand);
  await hand.goto(link);

  const shows = (slide) => until(`slide ${slide}`, () => slides.evaluate((slide) => window.Reveal.getState().indexh === slide, slide));
  await shows(0);
  const press = (sign) => hand.getByRole('button', { name: sign });
  // The data channel needs a moment.
  await until('the phone to turn', async () => {
    await press('▶').tap();
    return slides.evaluate(() => window.Reveal.getState().indexh === 1);
  });
  await press('◀').tap();
  await shows(0);

  visit.tolerate(/Could not connect to peer/);
  await slides.reload();
  await hand.reload();
  await hand.getByText('Could not connect to peer').waitFor();
});

visit('devices near: each page shows those of its network, and greets one by a press', async (visit) => {
  const app = folderWith(listing('docs/USE.md', '~near'));
  const server = await visit.server(['--static_dir', app, '--allow_discovery', 'near', '--stun_url', 'stun:127.0.0.1:9']);
  const open = async (device, name) => {
    const page = await visit.page(device);
    await page.addInitScript((name) => localStorage.setItem('device', name), name);
    await page.goto(urlOf(server, '/'));
    await page.getByRole('button', { name }).waitFor();
    return page;
  };
  const desk = await open(desktop, "Anna's desk");
  const hand = await open(phone, "Anna's phone");

  await hand.getByRole('button', { name: "Anna's desk" }).tap();
  await until('the greeting', async () => (await desk.title()) === "Anna's phone: hello");
  await hand.close();
  await desk.getByRole('button', { name: "Anna's phone" }).waitFor({ state: 'detached' });
});

visit('a link to share has the address of the machine where the page is at localhost', async (visit) => {
  const app = folderWith('<script src="/share.js"></script>');
  const server = await visit.server(['--static_dir', app]);
  visit.allow('localhost');
  const script = await (await fetch(urlOf(server, '/share.js'))).text();
  // This server listens at loopback only, so it knows no other address.
  const ofLan = script.replace('const lanHost = null;', 'const lanHost = "fd00::7";');
  assert.notEqual(ofLan, script);
  const page = await visit.page(desktop);
  const shared = (...args) => page.evaluate((args) => window.shareLink(...args), args);
  await page.goto(urlOf(server, '/?a=b', 'localhost'));
  const told = [];
  page.on('console', (message) => message.type() === 'warning' && told.push(message.text()));
  visit.tolerate(/other devices cannot open|is an element|the link has/);
  assert.equal(await shared(), `http://localhost:${server.port}/?a=b`);

  await page.route('**/share.js', (route) => route.fulfill({ contentType: 'text/javascript', body: ofLan }));
  await page.reload();
  assert.equal(await shared(), `http://[fd00::7]:${server.port}/?a=b`);
  assert.equal(await shared('#x'), `http://[fd00::7]:${server.port}/?a=b#x`);
  assert.equal(await shared('https://example.org/x'), 'https://example.org/x');
  assert.deepEqual(told.splice(0), [
    'other devices cannot open localhost: the broker found no address of this machine in a network, or listens at loopback only (--host)',
  ]);

  const drawn = (text) => page.evaluate((text) => {
    try {
      return window.qrCode(text).localName;
    } catch (error) {
      return String(error);
    }
  }, text);
  for (const text of ['https://example.org/x', 'no address', 'x'.repeat(2331)]) assert.equal(await drawn(text), 'svg');
  assert.deepEqual(told, []);
  for (let times = 0; times < 2; times += 1) assert.equal(await drawn(`http://localhost:${server.port}/`), 'svg');
  assert.equal(await drawn('file:///home/anna/quiz.html'), 'svg');
  assert.deepEqual(told, [
    'other devices cannot open localhost: pass its address to shareLink, as in qrCode(shareLink(…))',
    'other devices cannot open this file: serve it, as with peerbroker --static_dir .',
  ]);
  told.length = 0;
  const link = `https://example.org/ä?a=${'%20b'}#c`;
  for (let times = 0; times < 2; times += 1) {
    const widths = await page.evaluate(async (link) => {
      const img = document.createElement('img');
      img.src = window.qrCode(link);
      await img.decode();
      document.body.innerHTML = window.qrCode(link);
      return [img.naturalWidth, document.querySelector('svg').clientWidth];
    }, link);
    assert.deepEqual(widths, [240, 240]);
  }
  assert.deepEqual(told.splice(0), [
    'qrCode(…) is an element: show it with append(qrCode(…)). As a text, it is an address for the src of an img',
  ]);
  for (const text of ['?of=undefined', '?a=b&of=null', '#undefined', '?of=undefined']) await shared(text);
  for (const text of ['?of=undefined-1', '?undefined=a', '#of=null']) await shared(text);
  const remedy = "make it in peer.on('open', (id) => …), because peer.id has no value before";
  assert.deepEqual(told, ['of=undefined', 'of=null', '#undefined'].map((part) => `the link has ${part}: ${remedy}`));
  const letters = 'https://example.org/#Łódź';
  await page.evaluate((text) => document.body.replaceChildren(Object.assign(window.qrCode(text), { id: 'letters' })), letters);
  assert.equal(await scan(page, '#letters'), letters);
  assert.equal(await drawn('x'.repeat(2332)), 'RangeError: a QR code has at most 2331 bytes, and this text has 2332');
});

/** What a listing takes from its page or from the text above it. */
const PRELUDE = `
import type { Peer as PeerOfPeerJS } from './peerjs';
import type { joinRoom as enter } from './rooms';
declare global {
  const Peer: typeof PeerOfPeerJS;
  const joinRoom: typeof enter;
  /** As @types/simple-peer has it. */
  const SimplePeer: new (options: object) => { on(event: string, listener: (value: any) => void): void; send(text: string): void; signal(message: object): void };
  const show: (id: string, stream: MediaStream) => void;
  const hide: (id: string) => void;
  const files: FileList;
  const button: HTMLButtonElement;
}
`;
/** With the types of the broker's peerjs.js. */
const SERVED = `
import { Peer } from 'peerjs';
const peer = new Peer({ autoReconnect: false });
export const numbers: Promise<string>[] = [peer.connect('a').safetyNumber(), peer.call('a', new MediaStream()).safetyNumber()];
`;
/** @type {[RegExp, string][]} */
const OF_LISTINGS = [
  [/^(?![^]*import)[^]*appId/, "declare const joinRoom: (config: { appId: string; relayConfig: { urls: string[] }; rtcConfig?: RTCConfiguration }, name: string) => unknown;\n"],
  // Its types take each header as one text, and leave the event unknown.
  [/standardwebhooks/, "declare module 'standardwebhooks' { interface Webhook { verify(body: string, headers: import('node:http').IncomingHttpHeaders): any } }\n"],
  // The types of pages exclude those of workers.
  [/notificationclick/, `declare const self: { registration: ServiceWorkerRegistration; addEventListener(type: string, listener: (event: any) => void): void };
    declare const clients: { matchAll(options: { includeUncontrolled: boolean }): Promise<{ focus(): Promise<unknown> }[]>; openWindow(url: string): Promise<unknown> };\n`],
  [/require\('peerjs'\)/, "declare function require(name: 'peerjs'): typeof import('peerjs'); declare function require(name: 'peerbroker/webrtc'): typeof import('peerbroker/webrtc');\n"],
  [/replicateWebRTC/, "declare const collection: import('rxdb').RxCollection<any>;\n"],
];

test('Vite bundles the listing of torrents, and its page needs nothing of Node', async () => {
  const root = scratch();
  mkdirSync(join(root, 'node_modules/webtorrent'), { recursive: true });
  symlinkSync(join(clientTests, 'clients/webtorrent@3.0.21'), join(root, 'node_modules/webtorrent/dist'));
  writeFileSync(join(root, 'page.js'), listing('docs/CHOOSING.md', 'WebTorrent'));
  const warnings = [];
  const onwarn = ({ message }) => warnings.push(message);
  await build({ root, configFile: false, logLevel: 'silent', build: { write: false, minify: false, rollupOptions: { input: join(root, 'page.js'), onwarn } } });
  assert.deepEqual(warnings, []);
});

test('every listing compiles in TypeScript as strict as it gets', { timeout: 120_000 }, async () => {
  const project = scratch();
  const modules = join(project, 'node_modules');
  mkdirSync(modules);
  for (const name of readdirSync(join(clientTests, 'node_modules'))) symlinkSync(join(clientTests, 'node_modules', name), join(modules, name));
  cpSync(source, join(modules, 'peerbroker'), { recursive: true });
  await buildPackage(join(modules, 'peerbroker/client'));
  cpSync(join(clientTests, 'clients/1.5.5/types.d.ts'), join(project, 'peerjs.d.ts'));
  cpSync(join(clientTests, '../client/types/rooms.d.ts'), join(project, 'rooms.d.ts'));
  cpSync(join(clientTests, '../client/types/peerjs.d.ts'), join(project, 'served.d.ts'));
  writeFileSync(join(project, 'prelude.ts'), PRELUDE);
  writeFileSync(join(project, 'own.ts'), SERVED);
  writeFileSync(join(project, 'webtorrent.d.ts'), "declare module 'webtorrent/dist/webtorrent.min.js' { export default class { seed(files: FileList, options: { announce: string[] }, seeded: (torrent: { infoHash: string }) => void): void } }");
  const files = ['prelude.ts', 'webtorrent.d.ts', 'served.d.ts', 'own.ts'];
  for (const name of ['USE', 'PROGRAMS', 'TROUBLESHOOTING', 'CHOOSING', 'CALLS']) {
    const page = `docs/${name}.md`;
    const inText = Array.from(read(page).matchAll(/`(new Peer\([^`]*\))`/g), ([, code]) => `${code};\n`).filter((code) => !code.includes('…') && !/\bid\b/.test(code));
    const helpers = name === 'CALLS' ? listing('docs/CALLS.md', 'async function iceConfig') : '';
    for (const [number, code] of [...blocks(page, 'js|ts').map(({ code }) => code), ...inText].entries()) {
      const given = OF_LISTINGS.filter(([of]) => of.test(code)).map(([, text]) => text).join('');
      const file = `${name}-${number + 1}.ts`;
      writeFileSync(join(project, file), `${given}${code.startsWith('const ice') ? helpers : ''}${code}\nexport {};\n`);
      files.push(file);
    }
  }
  assert.ok(files.length > 15, String(files));
  const compilerOptions = { strict: true, noEmit: true, target: 'es2022', module: 'esnext', moduleResolution: 'bundler', skipLibCheck: true, types: ['node'], paths: { peerjs: ['./peerjs.d.ts'], peerbroker: ['./node_modules/peerbroker/lib/index.d.ts'] } };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
  const tsc = join(clientTests, 'node_modules/typescript/bin/tsc');
  const errors = await promisify(execFile)(process.execPath, [tsc, '-p', project]).then(() => '', ({ stdout }) => stdout);
  assert.equal(errors, '');
});
