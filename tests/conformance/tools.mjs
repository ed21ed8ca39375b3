// The programs of the suites, in target/conformance, and their outputs.

import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../../scripts/test/log.mjs';

const folder = join(root, 'target/conformance');
mkdirSync(folder, { recursive: true });

/** The reason why a suite cannot run on this machine. */
export class Skipped extends Error {}

/** A path below target/conformance. */
export const below = (name) => join(folder, name);

/** Runs a program to its end. Resolves with its exit code and its output, which is in a file, too. */
export async function output(name, program, words, options = {}) {
  const run = promisify(execFile)(program, words, { cwd: folder, maxBuffer: 1 << 28, ...options });
  const { code = 0, stdout, stderr } = await run.catch((error) => error);
  if (typeof code !== 'number' || stdout === undefined) throw new Error(`${program}: ${code}`);
  writeFileSync(below(`${name}.log`), stdout + stderr);
  return { code, text: stdout + stderr };
}

/** Installs Python packages for one interpreter, once. Resolves with the environment in which it finds them. */
export async function pythonPackages(python, ...packages) {
  const path = below([python.replaceAll(/\W/g, '-'), ...packages].join('+'));
  if (!existsSync(path)) {
    const { code, text } = await output('pip', python, ['-m', 'pip', 'install', '--quiet', '--target', path, ...packages]);
    if (code !== 0) throw new Skipped(`pip cannot install ${packages.join(', ')}: ${text.trim().split('\n').at(-1)}`);
  }
  return { ...process.env, PYTHONPATH: path };
}

/** Installs npm packages into a folder below target/conformance, once. Resolves with its path. */
export async function npmPackages(name, ...packages) {
  const folder = below(name);
  mkdirSync(folder, { recursive: true });
  const made = join(folder, 'package.json');
  const wanted = JSON.stringify({ private: true, type: 'module', packages });
  if (!existsSync(made) || readFileSync(made, 'utf8') !== wanted) {
    const { code, text } = await output('npm', 'npm', [
      // Some would download browsers and drivers.
      'install', '--ignore-scripts', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', ...packages,
    ]);
    if (code !== 0) throw new Skipped(`npm cannot install ${packages.join(', ')}: ${text.trim().split('\n')[0]}`);
    writeFileSync(made, wanted);
  }
  return folder;
}
