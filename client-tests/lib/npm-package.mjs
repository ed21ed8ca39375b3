// The npm package `peerbroker` with the program under test, as npm would install it, but without packing it.

import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { binary } from './server.mjs';

/** The package as source. */
export const source = resolve(import.meta.dirname, '../../npm/peerbroker');
export const platform = `${process.platform}-${process.arch}`;

/** A folder whose `node_modules` has the package, and the libraries of these tests for the apps that use it. */
export function installPackage() {
  const folder = mkdtempSync(join(tmpdir(), 'peerbroker-app-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const modules = join(folder, 'node_modules');
  const program = join(modules, '@peerbroker', platform, 'bin');
  mkdirSync(program, { recursive: true });
  symlinkSync(binary, join(program, 'peerbroker'));
  cpSync(source, join(modules, 'peerbroker'), { recursive: true });
  return folder;
}

/** The package in this process. */
export function loadPackage() {
  return createRequire(join(installPackage(), 'app.js'))('peerbroker');
}
