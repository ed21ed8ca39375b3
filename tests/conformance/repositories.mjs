// Copies of programs' repositories, with the packages that they name.

import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { binary } from '../../client-tests/lib/server.mjs';
import { Skipped, below, npmPackages, output } from './tools.mjs';

/** The package manager of most of them; and a Node that runs all of their builds, as packages of npm. */
const TOOLS = ['pnpm@10.4.0', `node-${process.platform}-${process.arch}@24.13.0`];

/** Not copied: what a build makes. */
const MADE = ['.git', 'node_modules', 'dist', '.next'];

/**
 * Copies a repository, installs its packages and builds it, once: `steps` are words for its packager. It is where the `variable` says,
 * or below target/conformance. With a `release`, its `change(folder)` makes that version of the copy. Resolves with the source, its copy, and the
 * environment of programs there.
 */
export async function built(name, variable, what, steps, { packager = 'pnpm', release = undefined, change = /** @type {(folder: string) => Promise<void>} */ (async () => {}) } = {}) {
  const source = process.env[variable] ?? below(`${name}-source`);
  if (!existsSync(source)) throw new Skipped(`there is no ${source}: set ${variable} to a copy of ${what}`);
  const { version } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
  const folder = below(`${name}-${release ?? version}`);
  const tools = join(await npmPackages('pnpm', ...TOOLS), 'node_modules');
  const path = [join(tools, TOOLS[1].split('@')[0], 'bin'), join(tools, '.bin'), process.env.PATH].join(delimiter);
  const env = { ...process.env, PATH: path, PEERBROKER_BIN: binary };
  const done = join(folder, '.peerbroker-built');
  if (!existsSync(done)) {
    mkdirSync(folder, { recursive: true });
    for (const one of readdirSync(source).filter((one) => !MADE.includes(one))) cpSync(join(source, one), join(folder, one), { recursive: true });
    await change(folder);
    for (const words of steps) {
      const { code, text } = await output(`${name}-${packager}`, packager, words, { cwd: folder, env });
      if (code !== 0) throw new Skipped(`${packager} ${words.join(' ')}: ${text.trim().split('\n').at(-1)}`);
    }
    writeFileSync(done, '');
  }
  return { source, folder, env };
}

/** Replaces a part of a file of a copy, which has to be there. */
export function replaceIn(path, part, by) {
  const text = readFileSync(path, 'utf8');
  const changed = text.replace(part, by);
  if (changed === text) throw new Error(`${part} is not in ${path} any more`);
  writeFileSync(path, changed);
}

/** Runs tests of Playwright in a copy. Resolves with the name of each, whether it passed, and after how many tries. */
export async function playwright({ folder, env }, log, words, more = {}) {
  const report = below(`${log}.json`);
  writeFileSync(report, '');
  await output(log, 'pnpm', ['exec', 'playwright', 'test', ...words], { cwd: folder, env: { ...env, PLAYWRIGHT_JSON_OUTPUT_FILE: report, ...more } });
  const text = readFileSync(report, 'utf8');
  if (!text) throw new Error(`Playwright ran no test: see ${below(`${log}.log`)}`);
  const specs = (suite) => [...suite.specs ?? [], ...(suite.suites ?? []).flatMap(specs)];
  return specs(JSON.parse(text)).flatMap(({ title, tests }) => tests.map(({ projectName, status, results }) => ({
    name: `${projectName}: ${title}`, isPassed: ['expected', 'flaky'].includes(status), tries: results.length,
  })));
}

/** The words of a suite about such tests, of which none may have failed. */
export function summary(results, log) {
  const failed = results.filter(({ isPassed }) => !isPassed).map(({ name }) => name);
  if (failed.length > 0) throw new Error(`failed: ${failed.join(', ')}. See ${below(`${log}.log`)}`);
  const repeated = results.filter(({ tries }) => tries > 1).length;
  return repeated > 0 ? `, ${repeated} of them not at once` : '';
}
