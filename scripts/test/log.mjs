// The output of programs, in a file of target/tests.

import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

export const root = resolve(import.meta.dirname, '../..');
export const OUTPUTS = join(root, 'target/tests');

/** The longest time of a program, in minutes, where its caller names none: a build on a slow machine. */
const LONGEST = 30;

/** The process groups that run. */
const groups = new Set();

function end(group) {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {}
}
process.once('exit', () => groups.forEach(end));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

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
   * Runs a program in the root of the repository, to its end or for so many minutes. What it leaves running is ended with it: that would
   * hold its output open, and be waited for without end. Resolves with its exit code, or with the name of a signal.
   */
  run(program, words, { env = {}, cwd = '.', minutes = LONGEST } = {}) {
    const child = spawn(program, words, {
      cwd: join(root, cwd),
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    for (const output of [child.stdout, child.stderr]) createInterface(output).on('line', (line) => this.#add(line));
    return new Promise((done, failed) => {
      child.once('error', failed);
      if (!child.pid) return;
      const group = child.pid;
      groups.add(group);
      const late = setTimeout(() => {
        this.#add(`${program} ${words.join(' ')}: stopped, because it has run for ${minutes} minutes`);
        end(group);
      }, minutes * 60_000);
      child.once('exit', () => {
        clearTimeout(late);
        groups.delete(group);
        end(group);
      });
      child.once('close', (code, signal) => done(code ?? signal));
    });
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
