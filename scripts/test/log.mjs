// The output of programs, in a file of target/tests.

import { spawn, spawnSync } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

export const root = resolve(import.meta.dirname, '../..');
export const OUTPUTS = join(root, 'target/tests');

/** The longest time of a program, in minutes, where its caller names none: on a slow machine, the examples take 28 beside all else. */
const LONGEST = 60;

/** Time until the output of a program that has ended is closed, in milliseconds, if what it has left running holds it open. */
const LEFT_OPEN = 5_000;

/** Ends a process and those that it has started. They stay in its session, or the kernel would give them another share of time. */
function endTree(pid) {
  const children = spawnSync('pgrep', ['-P', String(pid)], { encoding: 'utf8' }).stdout.split('\n').filter(Boolean);
  try {
    process.kill(pid, 'SIGKILL');
  } catch {}
  children.map(Number).forEach(endTree);
}

export class Log {
  /** All lines so far, of stdout and stderr. */
  lines = [];
  #file;
  #isShown;

  /** `isShown`: it is printed at once, too. */
  constructor(name, { isShown = false } = {}) {
    this.path = join(OUTPUTS, `${name}.log`);
    this.#file = createWriteStream(this.path);
    this.#isShown = isShown;
  }

  /**
   * Runs a program in the root of the repository, to its end or for so many minutes. Resolves with its exit code, or with the name of a
   * signal.
   */
  run(program, words, { env = {}, cwd = '.', minutes = LONGEST } = {}) {
    const child = spawn(program, words, {
      cwd: join(root, cwd),
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const outputs = [child.stdout, child.stderr];
    for (const output of outputs) createInterface(output).on('line', (line) => this.#add(line));
    const late = setTimeout(() => {
      this.#add(`${program} ${words.join(' ')}: stopped, because it has run for ${minutes} minutes`);
      if (child.pid) endTree(child.pid);
    }, minutes * 60_000);
    child.once('exit', () => setTimeout(() => outputs.forEach((output) => output.destroy()), LEFT_OPEN).unref());
    return new Promise((done, failed) => {
      child.once('error', failed);
      child.once('close', (code, signal) => done(code ?? signal));
    }).finally(() => clearTimeout(late));
  }

  #add(line) {
    this.lines.push(line);
    this.#file.write(`${line}\n`);
    if (this.#isShown) console.log(line);
  }

  /** Prints all lines but those that `hides` matches. */
  print(hides = /^$/) {
    for (const line of this.lines) if (!hides.test(line)) console.log(line);
  }
}
