// Folders of tests, which go with the process.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders = [];
process.once('exit', () => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

export function scratch() {
  folders.push(mkdtempSync(join(tmpdir(), 'peerbroker-')));
  return folders.at(-1);
}
