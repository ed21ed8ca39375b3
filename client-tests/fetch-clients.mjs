// Downloads the pinned PeerJS releases of clients.json to clients/<version>/, and other packages to clients/<name>@<version>/.
//
// `npm pack` and not `npm install`: the oldest releases have git dependencies that no longer
// install, WebTorrent's build for Node has native ones, and only their built dist/ is wanted.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const here = import.meta.dirname;
const integrities = JSON.parse(readFileSync(join(here, 'clients.json'), 'utf8'));
const shelf = join(here, 'clients');

function fetchRelease(version, integrity) {
  const name = version.includes('@') ? version : `peerjs@${version}`;
  // Inside `clients/`, so that the last step is a rename on one file system: a client's folder is
  // either complete or missing.
  const scratch = mkdtempSync(join(shelf, '.fetching-'));
  try {
    const output = execFileSync('npm', ['pack', name, '--silent', '--pack-destination', scratch], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const tarball = join(scratch, output.trim().split('\n').at(-1));
    const found = 'sha512-' + createHash('sha512').update(readFileSync(tarball)).digest('base64');
    if (found !== integrity) {
      throw new Error(`${name} is not the release that clients.json pins: ${found}`);
    }
    execFileSync('tar', ['-xzf', tarball, '-C', scratch, 'package/dist']);
    renameSync(join(scratch, 'package', 'dist'), join(shelf, version));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

mkdirSync(shelf, { recursive: true });
for (const [version, integrity] of Object.entries(integrities)) {
  if (existsSync(join(shelf, version))) continue;
  fetchRelease(version, integrity);
  console.log(`fetched ${version}`);
}
