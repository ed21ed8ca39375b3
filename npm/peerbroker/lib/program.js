// The program as a child process: `src/bin/peerbroker/stdio.rs` of the same version says how they talk.
'use strict';

const { spawn } = require('node:child_process');
const { StringDecoder } = require('node:string_decoder');
const { findProgram, startError } = require('./find.js');
const { takesLine } = require('./warnings.js');

// In milliseconds. A program that dies again and again is started ever later.
const SHORTEST_PAUSE = 100;
const LONGEST_PAUSE = 10_000;
const START_TIMEOUT = 30_000;
const STOP_TIMEOUT = 10_000;
// The time for which a client waits until the app has heard of it, and that time while the app has nothing to do but to wait for the program.
const HEARD_TIMEOUT = 500;
const HEARD_TIMES = 10;
// The longest time for which lines are handled while connections wait.
const TURN = 10;

class Program {
  /**
   * @param {string[]} args
   * @param {Record<string, string>} environment is added to that of this process
   * @param {(line: any) => void} told is called with each line of the program
   * @param {(why?: Error) => void} ended is called when it has ended, with an error if nobody has stopped it
   */
  constructor(args, environment, told, ended) {
    this.path = findProgram();
    this.args = args;
    this.environment = environment;
    this.told = told;
    this.ended = ended;
    this.wanted = 'none';
    this.wasReady = false;
    this.hasLines = () => false;
    /** Those that wait until the app has heard, by the number of their question. @type {Map<number, () => void>} */
    this.hearing = new Map();
    this.asked = 0;
    this.start();
  }

  start() {
    if (this.child) return;
    clearTimeout(this.restart);
    this.begun = Date.now();
    this.address = null;
    this.isWanting = false;
    this.isLagging = false;
    this.serving ??= deferred();
    const env = { ...process.env, ...this.environment };
    let child;
    try {
      child = spawn(this.path, this.args, { env, stdio: 'pipe', windowsHide: true });
    } catch (error) {
      // Later, so that the app has its listeners.
      const failed = (this.child = /** @type {any} */ ({}));
      setImmediate(() => this.end(failed, startError(this.path, error), true));
      return;
    }
    this.child = child;
    // The app lives as long as its own servers. The program sees its stdin end when the app is gone.
    child.unref();
    // @ts-ignore: pipes are sockets; those of Bun do not keep an app alive.
    for (const pipe of child.stdio) pipe.unref?.();
    child.stdin.on('error', () => {});
    let lastWords = '';
    let unfinished = '';
    child.stderr.setEncoding('utf8').on('data', (words) => {
      lastWords = `${lastWords}${words}`.slice(-2000);
      const lines = `${unfinished}${words}`.split('\n');
      unfinished = lines.pop();
      for (const line of lines) if (!takesLine(line, { hearsMessages: this.wanted === 'all' })) process.stderr.write(`${line}\n`);
    });
    child.stderr.on('end', () => process.stderr.write(unfinished));
    this.hasLines = eachLine(child.stdout, (line) => this.child === child && this.hear(JSON.parse(line)));
    child.once('error', (error) => this.end(child, startError(this.path, error), true));
    // Not at 'exit': its last lines come first.
    child.once('close', (code, signal) => {
      const how = signal ? `was ended by ${signal}` : `has ended with code ${code}`;
      this.end(child, `${how}${lastWords && `: ${lastWords.trim()}`}`, code !== null);
    });
    this.tell({ do: 'texts', wanted: this.wanted });
  }

  hear(line) {
    if (line.event === 'started') this.address = line.address;
    else if (line.event === 'wanted') this.isWanting = true;
    else if (line.event === 'synced') return this.haveHeard(line.number);
    else return this.told(line);
    // Not before it obeys: no text of the first client may be lost.
    if (!this.address || !this.isWanting) return;
    this.wasReady = true;
    this.serving.resolve(Number(this.address.split(':').pop()));
  }

  end(child, how, byItself) {
    if (this.child !== child) return;
    this.child = null;
    this.haveHeard(this.asked);
    const { serving } = this;
    this.serving = null;
    const error = new Error(`peerbroker ${how}`);
    if (byItself && !this.wasReady) {
      // It refuses its options, or cannot be run here, and would again.
      serving.reject(error);
      return this.ended(error);
    }
    const isSteady = Date.now() - this.begun > LONGEST_PAUSE;
    this.pause = isSteady || !this.pause ? SHORTEST_PAUSE : Math.min(this.pause * 2, LONGEST_PAUSE);
    this.serving = deferred();
    this.restart = setTimeout(() => this.start(), this.pause).unref();
    error.message += `; it is started again in ${this.pause} ms`;
    this.ended(error);
  }

  /** The port, as soon as it serves. */
  async port() {
    if (!this.serving) throw new Error('peerbroker does not run');
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('peerbroker does not start')), START_TIMEOUT);
    });
    return Promise.race([this.serving.promise, late]).finally(() => clearTimeout(timer));
  }

  tell(command) {
    if (this.child?.stdin?.writable) this.child.stdin.write(`${JSON.stringify(command)}\n`);
  }

  /** @param {string} wanted are texts of clients: all, broken or none */
  want(wanted) {
    if (wanted === this.wanted) return;
    this.wanted = wanted;
    this.tell({ do: 'texts', wanted });
  }

  /** Resolves when the app has heard of all that has happened until now; soon, and then at once, while the app is too slow for that. */
  async heard() {
    if (!this.child || this.isLagging) return;
    const number = (this.asked += 1);
    this.tell({ do: 'sync', number });
    await new Promise((resolve) => {
      let timer;
      const wait = (times) => {
        timer = setTimeout(() => {
          // The pipe is read before this: perhaps only the app was busy.
          setImmediate(() => {
            if (!this.hearing.has(number)) return;
            if (times > 1 && !this.hasLines()) return wait(times - 1);
            this.hearing.delete(number);
            this.isLagging = true;
            resolve(null);
          });
        }, HEARD_TIMEOUT);
      };
      wait(HEARD_TIMES);
      this.hearing.set(number, () => {
        clearTimeout(timer);
        resolve(null);
      });
    });
  }

  haveHeard(number) {
    // It has answered the last question.
    if (number === this.asked) this.isLagging = false;
    for (const [asked, resolve] of this.hearing) {
      if (asked > number) return;
      this.hearing.delete(asked);
      resolve();
    }
  }

  /** Ends it, and all connections of clients with it. */
  stop() {
    const { child, serving } = this;
    clearTimeout(this.restart);
    this.child = null;
    this.serving = null;
    this.haveHeard(this.asked);
    serving?.reject(new Error('peerbroker is stopped'));
    if (!child) return;
    child.stdin?.end();
    const timer = setTimeout(() => child.kill?.('SIGKILL'), STOP_TIMEOUT).unref();
    child.once?.('close', () => clearTimeout(timer));
    this.ended();
  }
}

function deferred() {
  const it = /** @type {any} */ ({});
  it.promise = new Promise((resolve, reject) => Object.assign(it, { resolve, reject }));
  // Nobody may be waiting.
  it.promise.catch(() => {});
  return it;
}

/**
 * Handles each line of a stream. Returns a function that is true while lines wait to be handled.
 *
 * Not readline, for which more characters than "\n" end a line. While the app is busy with lines, others wait in the pipe, and
 * connections get their turns.
 */
function eachLine(stream, handle) {
  const decoder = new StringDecoder('utf8');
  let parts = [];
  let lines = [];
  const work = () => {
    const end = performance.now() + TURN;
    let done = 0;
    do {
      try {
        handle(lines[done++]);
      } catch (error) {
        // A fault of a listener of the app, which may go on: then with the next line.
        process.nextTick(() => {
          throw error;
        });
      }
    } while (done < lines.length && performance.now() < end);
    lines = lines.slice(done);
    if (lines.length > 0) setImmediate(work);
    else stream.resume();
  };
  stream.on('data', (bytes) => {
    const [first, ...others] = decoder.write(bytes).split('\n');
    parts.push(first);
    for (const next of others) {
      lines.push(parts.join(''));
      parts = [next];
    }
    if (lines.length === 0) return;
    stream.pause();
    work();
  });
  return () => lines.length > 0;
}

module.exports = { Program };
