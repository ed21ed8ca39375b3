// Tells of client/src and static which functions no test calls, and which lines none runs: `npm run coverage -- tests/call.test.mjs`,
// of all tests without a file. Node writes what it has run itself, and lib/browser.mjs what pages of Chromium have run, in its format.

import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { scripts } from '../client/build.mjs';
import { bundle } from '../client/bundle.mjs';
import { scratch } from './lib/scratch.mjs';

const root = resolve(import.meta.dirname, '..');
const client = join(root, 'client/src');
const folder = scratch();
const options = { cwd: import.meta.dirname, env: { ...process.env, NODE_V8_COVERAGE: folder }, stdio: /** @type {const} */ ('inherit') };
spawnSync(process.execPath, ['--test', '--test-concurrency=4', ...process.argv.slice(2)], options);

/** The lines of a file: has it run, was the function called that begins there? @type {Map<string, { text: string, line: number, ran?: boolean, called?: boolean }[]>} */
const files = new Map([client, join(root, 'static')].flatMap((under) => {
  const names = /** @type {string[]} */ (readdirSync(under, { recursive: true })).filter((name) => /(?<!\.template)\.js$/.test(name));
  return names.map((name) => [relative(root, join(under, name)), readFileSync(join(under, name), 'utf8').split('\n').map((text, at) => ({ text, line: at + 1 }))]);
}));

/** The line of each character of a file. */
const plain = (file) => (files.get(file) ?? []).flatMap((line) => Array(line.text.length + 1).fill(/^\s*(\/?\*|\/\/|$)/.test(line.text) ? undefined : line));

/** The scripts that pages have by their texts, each with the lines of its characters: pages have them at other addresses. */
const served = Array.from(files, ([file, lines]) => ({ code: lines.map(({ text }) => text).join('\n'), places: plain(file) }));
/** Those in `dist`, which the broker puts its settings in front of. */
for (const [entry, how] of Object.values(scripts)) {
  const [code, text] = (await bundle(join(client, entry), { ...how, sourcemap: 'inline' })).trimEnd().split(/\n\/\/# sourceMappingURL=.*base64,/);
  const map = new SourceMap(JSON.parse(Buffer.from(text, 'base64').toString()));
  const places = code.split('\n').flatMap((generated, row) => Array.from({ length: generated.length + 1 }, (_, column) => {
    const { originalSource, originalLine } = /** @type {any} */ (map.findEntry(row, column));
    return files.get(originalSource?.replace(/^(\.\.\/)*/, ''))?.[originalLine];
  }));
  served.push({ code, places });
}

const found = new Map();
/** The lines of the characters of a script. */
function placesOf({ url, source }) {
  if (source === undefined) return url.startsWith('file:') ? plain(relative(root, fileURLToPath(url))) : [];
  if (!found.has(source)) {
    const places = [];
    for (const { code, places: own } of served) {
      const start = source.indexOf(code);
      if (start >= 0) own.forEach((place, at) => { places[start + at] = place; });
    }
    found.set(source, places);
  }
  return found.get(source);
}

for (const name of readdirSync(folder)) {
  for (const script of JSON.parse(readFileSync(join(folder, name), 'utf8')).result) {
    const places = placesOf(script);
    if (places.length === 0) continue;
    // A page tells only of functions that were called or compiled since it was asked last.
    const ran = Array(places.length);
    for (const { ranges } of script.functions) {
      const begins = places[ranges[0].startOffset];
      if (begins) begins.called ||= ranges[0].count > 0;
      for (const { startOffset, endOffset, count } of ranges) ran.fill(count > 0, startOffset, endOffset);
    }
    places.forEach((place, at) => { if (place && ran[at] !== undefined) place.ran ||= ran[at]; });
  }
}
for (const [file, lines] of files) {
  const known = lines.filter(({ ran }) => ran !== undefined);
  const idle = known.filter(({ ran }) => !ran).map(({ line }) => line);
  console.log(known.length ? `${file}: ${idle.length} of ${known.length} lines never run: ${idle.join(' ')}` : `${file}: never loaded`);
  for (const { line, text, called } of lines) if (called === false) console.log(`  ${line}: ${text.trim()}`);
}
