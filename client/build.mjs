// Fills dist/ with the scripts that the server puts its settings in front of, and prints the SRI value of those that pages pin, which
// src/http/public/html.rs has.

import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundle } from './bundle.mjs';

/** @type {Record<string, [string, { name?: string, format?: 'iife' | 'es' }]>} */
const scripts = {
  'peer.js': ['peer/peer.js', { name: 'presetPeer' }],
  'rooms.js': ['rooms/rooms.js', { name: 'rooms' }],
  'rooms.mjs': ['rooms/rooms.js', { format: 'es' }],
  'share.js': ['share/share.js', {}],
  'webrtc.js': ['pipe/main.js', {}],
  'webrtc.mjs': ['pipe/install.js', { format: 'es' }],
};

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

await rm(here('dist'), { recursive: true, force: true });
await mkdir(here('dist'));
for (const [name, [entry, options]] of Object.entries(scripts)) {
  const script = await bundle(here(`src/${entry}`), options);
  await writeFile(here(`dist/${name}`), script);
  if (name.startsWith('webrtc')) console.log(`${name}  sha384-${createHash('sha384').update(script).digest('base64')}`);
}
