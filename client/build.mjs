// Fills dist/ with the scripts that the server puts its settings in front of, and prints the SRI value of the one that pages pin, which
// src/http/public/html.rs has. `buildPackage` fills the client of the npm package.

import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from './bundle.mjs';

/** @type {Record<string, [string, { name?: string, format?: 'iife' | 'es' }]>} */
export const scripts = {
  'peer.js': ['peer/peer.js', { name: 'presetPeer' }],
  'pipes.js': ['pipe/lazy.js', { name: 'usePipes' }],
  'reports.js': ['peer/call-reports.js', { name: 'callReports' }],
  'rooms.js': ['rooms/rooms.js', { name: 'rooms' }],
  'rooms.mjs': ['rooms/rooms.js', { format: 'es' }],
  'share.js': ['share/script.js', {}],
  'webrtc.js': ['pipe/main.js', {}],
  'webrtc.mjs': ['pipe/install.js', { format: 'es' }],
};

/** The entries of the npm package, with the files of their types. */
const entries = {
  peer: ['peer/package.js', 'peerjs.d.ts', 'peer.d.ts'],
  rooms: ['rooms/rooms.js', 'rooms.d.ts'],
  share: ['share/package.js', 'share.d.ts'],
  webrtc: ['pipe/install.js', 'webrtc.d.ts'],
  // For React Native.
  'webrtc-native': ['pipe/install.js', 'webrtc.d.ts'],
};

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Each entry as a module and for `require`, with types for both. */
export async function buildPackage(folder) {
  await mkdir(folder, { recursive: true });
  for (const [name, [entry, ...types]] of Object.entries(entries)) {
    const texts = await Promise.all(types.map((file) => readFile(here(`types/${file}`), 'utf8')));
    for (const [format, letter] of /** @type {const} */ ([['es', 'm'], ['cjs', 'c']])) {
      await writeFile(join(folder, `${name}.${letter}js`), await bundle(here(`src/${entry}`), { format, hasDom: !name.endsWith('-native') }));
      await writeFile(join(folder, `${name}.d.${letter}ts`), texts.join('\n'));
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await rm(here('dist'), { recursive: true, force: true });
  await mkdir(here('dist'));
  for (const [name, [entry, options]] of Object.entries(scripts)) {
    const script = await bundle(here(`src/${entry}`), options);
    await writeFile(here(`dist/${name}`), script);
    if (name === 'webrtc.js') console.log(`${name}  sha384-${createHash('sha384').update(script).digest('base64')}`);
  }
}
