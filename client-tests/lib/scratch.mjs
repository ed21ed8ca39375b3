// Folders of tests, which go with the process.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders = [];
process.once('exit', () => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

export function scratch() {
  folders.push(mkdtempSync(join(tmpdir(), 'peerbroker-')));
  return folders.at(-1);
}

/** A folder with this page, for `--static_dir`. */
export function folderWith(html) {
  const folder = scratch();
  const icon = '<link rel="icon" href="data:,">';
  writeFileSync(join(folder, 'index.html'), html.includes('<title>') ? html.replace('<title>', `${icon}<title>`) : `<!doctype html><title>mine</title>${icon}${html}`);
  return folder;
}
