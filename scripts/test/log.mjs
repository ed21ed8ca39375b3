// The output of programs, in a file of target/tests.

import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

export const root = resolve(import.meta.dirname, '../..');
export const OUTPUTS = join(root, 'target/tests');

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

  /** Runs a program to its end, in the root of the repository. Resolves with its exit code, or with the name of a signal. */
  run(program, words, { env = {}, cwd = '.' } = {}) {
    const child = spawn(program, words, {
      cwd: join(root, cwd),
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const output of [child.stdout, child.stderr]) {
      createInterface(output).on('line', (line) => {
        this.lines.push(line);
        this.#file.write(`${line}\n`);
        if (this.#isShown) console.log(line);
      });
    }
    return new Promise((done, failed) => {
      child.once('error', failed);
      child.once('close', (code, signal) => done(code ?? signal));
    });
  }

  /** Prints all lines but those that `hides` matches. */
  print(hides = /^$/) {
    for (const line of this.lines) if (!hides.test(line)) console.log(line);
  }
}
