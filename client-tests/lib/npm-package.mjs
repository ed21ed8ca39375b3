// The npm package `peerbroker` with the program under test, as npm would install it, but without packing it.

import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { scratch } from './scratch.mjs';
import { binary } from './server.mjs';

/** The package as source. */
export const source = resolve(import.meta.dirname, '../../npm/peerbroker');
const libraries = resolve(import.meta.dirname, '../node_modules');
export const platform = `${process.platform}-${process.arch}`;

/** A folder whose `node_modules` has the package, with one of the versions of Express that these tests have, and `ws` for the app. */
export function installPackage({ express = 'express' } = {}) {
  const folder = scratch();
  const modules = join(folder, 'node_modules');
  const program = join(modules, '@peerbroker', platform, 'bin');
  mkdirSync(program, { recursive: true });
  symlinkSync(binary, join(program, 'peerbroker'));
  cpSync(source, join(modules, 'peerbroker'), { recursive: true });
  cpSync(join(source, '../../client/dist/webrtc.mjs'), join(modules, 'peerbroker/client/webrtc.mjs'));
  for (const [name, from] of [['express', express], ['cors', 'cors'], ['ws', 'ws']]) symlinkSync(join(libraries, from), join(modules, name));
  return folder;
}

/** The package in this process. */
export function loadPackage(options = {}) {
  return createRequire(join(installPackage(options), 'app.js'))('peerbroker');
}
