// Lists the functions of client/src and static that no test calls: `npm run coverage -- tests/call.test.mjs`, of all tests without a file.
// Node writes what it has called itself, and lib/browser.mjs what pages of Chromium have called, in its format.

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

/** The texts of files: pages have them at other addresses. */
const files = new Map([client, join(root, 'static')].flatMap((under) => {
  const names = /** @type {string[]} */ (readdirSync(under, { recursive: true }));
  return names.filter((name) => name.endsWith('.js')).map((name) => [join(under, name), readFileSync(join(under, name), 'utf8')]);
}));

/** The scripts in `dist`, which the broker puts its settings in front of, with their maps. */
const bundles = await Promise.all(Object.values(scripts).map(async ([entry, how]) => {
  const [code, map] = (await bundle(join(client, entry), { ...how, sourcemap: 'inline' })).split(/\/\/# sourceMappingURL=.*base64,/);
  return { code: code.trimEnd(), map: new SourceMap(JSON.parse(Buffer.from(map, 'base64').toString())) };
}));

/** Finds where a function of a script begins: `file:line`. */
function finder(url, source) {
  const file = source === undefined ? url.startsWith('file:') && fileURLToPath(url) : [...files].find(([, text]) => text === source)?.[0];
  if (files.has(file)) return (offset) => `${relative(root, file)}:${lineOf(files.get(file), offset)}`;
  const found = bundles.filter(({ code }) => source?.includes(code));
  return (offset) => {
    for (const { code, map } of found) {
      const at = offset - source.indexOf(code);
      if (at < 0 || at >= code.length) continue;
      const before = code.slice(0, at).split('\n');
      const { originalSource, originalLine } = /** @type {any} */ (map.findEntry(before.length - 1, before.at(-1).length));
      return originalSource && `${originalSource.replace(/^(\.\.\/)*/, '')}:${originalLine + 1}`;
    }
    return undefined;
  };
}

const lineOf = (text, offset) => text.slice(0, offset).split('\n').length;

/** Whether a page or a test has called the functions of a line. @type {Map<string, boolean>} */
const called = new Map();
for (const name of readdirSync(folder)) {
  for (const { url, source, functions } of JSON.parse(readFileSync(join(folder, name), 'utf8')).result) {
    const find = finder(url, source);
    for (const { ranges: [{ startOffset, count }] } of functions) {
      const place = find(startOffset);
      if (place) called.set(place, called.get(place) || count > 0);
    }
  }
}
for (const file of files.keys()) {
  const name = relative(root, file);
  const lines = [...called].filter(([place]) => place.startsWith(`${name}:`));
  if (lines.length === 0) console.log(`${name}: never loaded`);
  for (const [place, isCalled] of lines) if (!isCalled) console.log(`${place}: ${files.get(file).split('\n')[Number(place.split(':')[1]) - 1].trim()}`);
}
