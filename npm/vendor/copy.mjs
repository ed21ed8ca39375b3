// Copies what the pages load from node_modules to dist/, bundles Yjs and the library for QR codes, and prints each script's SRI value, which
// src/http/public/html.rs has.
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundle } from '../../client/bundle.mjs';

const scripts = {
  'peerjs.js': 'node_modules/peerjs/dist/peerjs.js',
  'peerjs.min.js': 'node_modules/peerjs/dist/peerjs.min.js',
  'simplepeer.min.js': 'node_modules/simple-peer/simplepeer.min.js',
};

// peerjs.js, peerjs.min.js and simplepeer.min.js have their own dependencies built in.
// Texts are kept here for packages that only name their licence, and for events
// and process, which browserify put into simplepeer.min.js.
const licenses = {
  peerjs: 'node_modules/peerjs/LICENSE',
  'peerjs-js-binarypack': 'node_modules/peerjs-js-binarypack/LICENSE',
  eventemitter3: 'node_modules/eventemitter3/LICENSE',
  sdp: 'node_modules/sdp/LICENSE',
  'webrtc-adapter': 'node_modules/webrtc-adapter/LICENSE.md',
  uqr: 'node_modules/uqr/LICENSE',
  'simple-peer': 'node_modules/simple-peer/LICENSE',
  'base64-js': 'node_modules/base64-js/LICENSE',
  buffer: 'node_modules/buffer/LICENSE',
  debug: 'node_modules/debug/LICENSE',
  'err-code': 'licenses/err-code.txt',
  events: 'licenses/events.txt',
  'get-browser-rtc': 'licenses/get-browser-rtc.txt',
  ieee754: 'node_modules/ieee754/LICENSE',
  inherits: 'node_modules/inherits/LICENSE',
  ms: 'node_modules/ms/license.md',
  process: 'licenses/process.txt',
  'queue-microtask': 'node_modules/queue-microtask/LICENSE',
  randombytes: 'node_modules/randombytes/LICENSE',
  'readable-stream': 'node_modules/readable-stream/LICENSE',
  'safe-buffer': 'node_modules/safe-buffer/LICENSE',
  string_decoder: 'node_modules/string_decoder/LICENSE',
  'util-deprecate': 'node_modules/util-deprecate/LICENSE',
  lib0: 'node_modules/lib0/LICENSE',
  'y-protocols': 'node_modules/y-protocols/LICENSE',
  'y-webrtc': 'node_modules/y-webrtc/LICENSE',
  yjs: 'node_modules/yjs/LICENSE',
  '@noble/ciphers': '../../client/node_modules/@noble/ciphers/LICENSE',
  '@noble/curves': '../../client/node_modules/@noble/curves/LICENSE',
  '@noble/hashes': '../../client/node_modules/@noble/hashes/LICENSE',
};

// Maps are not served, because they are larger than all scripts. Developer tools warn of a map that is named and missing.
const MAP = /^\/\/# sourceMappingURL=.*$\n?/m;

const here = (path) => new URL(path, import.meta.url);

await rm(here('dist'), { recursive: true, force: true });
await mkdir(here('dist'));

for (const [target, source] of Object.entries(scripts)) {
  await save(target, (await readFile(here(source), 'utf8')).replace(MAP, ''));
}
// Pages have simple-peer as a script of its own.
const globals = { 'simple-peer/simplepeer.min.js': 'SimplePeer' };
await save('qrcode.min.js', await bundle(fileURLToPath(here('qrcode.js')), { name: 'qrcode' }));
await save('yjs.min.js', await bundle(fileURLToPath(here('yjs.js')), { name: 'Yjs', globals }));

const texts = await Promise.all(
  Object.entries(licenses).map(async ([name, source]) => {
    const text = await readFile(here(source), 'utf8');
    return `${name}\n${'='.repeat(name.length)}\n\n${text.trim()}\n`;
  }),
);
await writeFile(here('dist/LICENSES.txt'), texts.join('\n\n'));

async function save(target, script) {
  await writeFile(here(`dist/${target}`), script);
  const hash = createHash('sha384').update(script).digest('base64');
  console.log(`${target}  sha384-${hash}`);
}
