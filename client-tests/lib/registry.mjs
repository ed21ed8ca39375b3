// A registry of npm on this machine, with packed packages and with those that these tests have installed: `npm install` needs no other.

import { execFileSync, spawn } from 'node:child_process';
import { createReadStream, existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join, resolve } from 'node:path';
import { listen } from './listen.mjs';

const libraries = resolve(import.meta.dirname, '../node_modules');

/** Serves them until it is closed; resolves with the server, and its URL. */
export async function startRegistry(tarballs) {
  const packages = new Map();
  const add = (manifest, send) => {
    if (!packages.has(manifest.name)) packages.set(manifest.name, new Map());
    packages.get(manifest.name).set(manifest.version, { manifest, send });
  };
  for (const folder of foldersIn(libraries)) {
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    if (manifest.version) add(manifest, (res) => pack(folder).pipe(res));
  }
  for (const tarball of tarballs) {
    const manifest = JSON.parse(execFileSync('tar', ['-xzOf', tarball, 'package/package.json'], { encoding: 'utf8' }));
    add(manifest, (res) => createReadStream(tarball).pipe(res));
  }
  const server = createServer((req, res) => {
    const [name, version] = decodeURIComponent(req.url.slice(1)).split('/-/');
    const versions = packages.get(name);
    const one = versions?.get(version);
    if (one) return one.send(res);
    if (!versions || version) return res.writeHead(404).end('{}');
    res.setHeader('Content-Type', 'application/json');
    res.end(JSON.stringify({
      name,
      'dist-tags': { latest: [...versions.keys()].sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1) },
      versions: Object.fromEntries([...versions].map(([at, { manifest }]) => {
        return [at, { ...manifest, dist: { tarball: `${url}${name}/-/${at}` } }];
      })),
    }));
  });
  const started = await listen(server);
  const { url } = started;
  return started;
}

function* foldersIn(modules) {
  for (const name of readdirSync(modules)) {
    if (name.startsWith('.')) continue;
    const folder = join(modules, name);
    if (name.startsWith('@')) yield* foldersIn(folder);
    else if (existsSync(join(folder, 'package.json'))) yield folder;
    const inner = join(folder, 'node_modules');
    if (existsSync(inner)) yield* foldersIn(inner);
  }
}

function pack(folder) {
  return spawn('tar', ['-cz', '--exclude=./node_modules', '--transform=s,^\\.,package,', '-C', folder, '.']).stdout;
}
