// A program with what it says, in a process group of its own.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { PATIENCE, within } from './within.mjs';

const running = new Set();

/** Ends each that runs, with the programs that it has started. */
export function killAll() {
  for (const one of running) one.kill();
}
process.once('exit', killAll);

export class Run {
  output = [];
  errors = [];
  #child;
  #exited;
  #lines;

  /** `stdin` is one of `stdio`, as `spawn` has it. */
  constructor(program, words, { cwd, env, stdin = /** @type {any} */ ('ignore') }) {
    // Detached: signals of our terminal do not reach it.
    this.#child = spawn(program, words, { cwd, env, detached: true, stdio: [stdin, 'pipe', 'pipe'] });
    running.add(this);
    this.#exited = new Promise((done, failed) => {
      this.#child.once('error', failed);
      this.#child.once('close', (code, signal) => {
        running.delete(this);
        done({ code, signal });
      });
    });
    this.#exited.catch(() => {});
    this.#lines = createInterface(this.#child.stdout).on('line', (line) => this.output.push(line));
    createInterface(this.#child.stderr).on('line', (line) => this.errors.push(line));
  }

  get pid() {
    return this.#child.pid;
  }

  /** Waits for a line on stdout, past or to come; resolves with the match. */
  line(pattern) {
    const seen = new Promise((found) => {
      const look = () => {
        const match = this.output.map((line) => line.match(pattern)).find(Boolean);
        if (!match) return;
        this.#lines.off('line', look);
        found(match);
      };
      this.#lines.on('line', look);
      look();
    });
    const died = this.#exited.then(({ code, signal }) => {
      throw new Error(`it ended (${signal ?? code}) before printing ${pattern}\n${this.#transcript()}`);
    });
    return within(() => `${pattern}; it said:\n${this.#transcript()}`, Promise.race([seen, died]));
  }

  /** Resolves with `{code, signal}` once the process is gone and its output is read. */
  end(patience = PATIENCE) {
    return within(() => `it to end; it said:\n${this.#transcript()}`, this.#exited, patience);
  }

  type(text) {
    this.#child.stdin.write(text);
  }

  /** Ends its stdin. */
  endInput() {
    this.#child.stdin.end();
  }

  signal(name) {
    this.#child.kill(name);
  }

  kill() {
    running.delete(this);
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {}
  }

  #transcript() {
    return [...this.output, ...this.errors].join('\n');
  }
}
