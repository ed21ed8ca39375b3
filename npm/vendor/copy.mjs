// Copies what the pages load from node_modules to dist/, bundles Yjs and the library for QR codes, and prints each script's SRI value, which
// src/http/public/html.rs has.
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundle } from '../../client/bundle.mjs';

const scripts = {
  'peerjs.js': 'node_modules/peerjs/dist/peerjs.js',
  'peerjs.min.js': 'node_modules/peerjs/dist/peerjs.min.js',
  'simplepeer.min.js': 'node_modules/simple-peer/simplepeer.min.js',
};

// Where the packages of the scripts are, and what is in front of their names: peerjs.js, peerjs.min.js and simplepeer.min.js have their own
// dependencies built in. `licenses` has the texts of packages that only name theirs, and of events and process, which browserify put into
// simplepeer.min.js.
const PACKAGES = { node_modules: '', licenses: '', '../../client/node_modules/@noble': '@noble/' };
// No script has these in it.
const LEFT_OUT = ['isomorphic.js', 'ws'];

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

/** @type {Map<string, string>} */
const texts = new Map();
for (const [folder, prefix] of Object.entries(PACKAGES)) {
  for (const path of (await readdir(here(folder), { recursive: true })).sort()) {
    const [, name] = path.match(/^([\w.-]+)(?:\/licen[cs]e(?:\.md)?|\.txt)$/i) ?? [];
    if (!name || LEFT_OUT.includes(name)) continue;
    const title = prefix + name;
    texts.set(title, `${title}\n${'='.repeat(title.length)}\n\n${(await readFile(here(`${folder}/${path}`), 'utf8')).trim()}\n`);
  }
}
const missing = (await readdir(here('node_modules'))).filter((name) => /^\w/.test(name) && !LEFT_OUT.includes(name) && !texts.has(name));
if (missing.length > 0) throw new Error(`licenses/ has no text of ${missing.join(', ')}`);
await writeFile(here('dist/LICENSES.txt'), [...texts.values()].join('\n\n'));

async function save(target, script) {
  await writeFile(here(`dist/${target}`), script);
  const hash = createHash('sha384').update(script).digest('base64');
  console.log(`${target}  sha384-${hash}`);
}
