// Copies what the pages load from node_modules to dist/, and prints each
// script's SRI value: pages built without dist/ load the same bytes from a CDN.
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';

const scripts = {
  'peerjs.min.js': 'node_modules/peerjs/dist/peerjs.min.js',
  'qrcode.js': 'node_modules/qrcode-generator/dist/qrcode.js',
};

// peerjs.min.js has its own dependencies built in. qrcode-generator names its
// licence only in the header of its script, so the text is kept here.
const licenses = {
  peerjs: 'node_modules/peerjs/LICENSE',
  'peerjs-js-binarypack': 'node_modules/peerjs-js-binarypack/LICENSE',
  eventemitter3: 'node_modules/eventemitter3/LICENSE',
  sdp: 'node_modules/sdp/LICENSE',
  'webrtc-adapter': 'node_modules/webrtc-adapter/LICENSE.md',
  'qrcode-generator': 'licenses/qrcode-generator.txt',
};

const here = (path) => new URL(path, import.meta.url);

await rm(here('dist'), { recursive: true, force: true });
await mkdir(here('dist'));

for (const [target, source] of Object.entries(scripts)) {
  await copyFile(here(source), here(`dist/${target}`));
  const hash = createHash('sha384').update(await readFile(here(source))).digest('base64');
  console.log(`${target}  sha384-${hash}`);
}

const texts = await Promise.all(
  Object.entries(licenses).map(async ([name, source]) => {
    const text = await readFile(here(source), 'utf8');
    return `${name}\n${'='.repeat(name.length)}\n\n${text.trim()}\n`;
  }),
);
await writeFile(here('dist/LICENSES.txt'), texts.join('\n\n'));
