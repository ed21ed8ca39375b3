// The program as a child process: `src/bin/peerbroker/stdio.rs` of the same version says how they talk.
'use strict';

const { spawn } = require('node:child_process');
const { StringDecoder } = require('node:string_decoder');
const { findProgram } = require('./find.js');

// In milliseconds. A program that dies again and again is started ever later.
const SHORTEST_PAUSE = 100;
const LONGEST_PAUSE = 10_000;
const START_TIMEOUT = 30_000;
const STOP_TIMEOUT = 10_000;

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
    this.start();
  }

  start() {
    if (this.child) return;
    clearTimeout(this.restart);
    this.begun = Date.now();
    this.address = null;
    this.isWanting = false;
    this.serving ??= deferred();
    const child = spawn(this.path, this.args, { env: { ...process.env, ...this.environment }, stdio: 'pipe', windowsHide: true });
    this.child = child;
    // The app lives as long as its own servers. The program sees its stdin end when the app is gone.
    child.unref();
    // @ts-ignore: pipes are sockets.
    for (const pipe of child.stdio) pipe.unref();
    child.stdin.on('error', () => {});
    let lastWords = '';
    child.stderr.on('data', (words) => {
      process.stderr.write(words);
      lastWords = `${lastWords}${words}`.slice(-2000);
    });
    eachLine(child.stdout, (line) => this.child === child && this.hear(JSON.parse(line)));
    child.once('error', ({ message }) => this.end(child, `cannot be started (${message})`, true));
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
    else return this.told(line);
    // Not before it obeys: no text of the first client may be lost.
    if (!this.address || !this.isWanting) return;
    this.wasReady = true;
    this.serving.resolve(Number(this.address.split(':').pop()));
  }

  end(child, how, byItself) {
    if (this.child !== child) return;
    this.child = null;
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
    if (this.child?.stdin.writable) this.child.stdin.write(`${JSON.stringify(command)}\n`);
  }

  /** @param {string} wanted are texts of clients: all, broken or none */
  want(wanted) {
    if (wanted === this.wanted) return;
    this.wanted = wanted;
    this.tell({ do: 'texts', wanted });
  }

  /** Ends it, and all connections of clients with it. */
  stop() {
    const { child, serving } = this;
    clearTimeout(this.restart);
    this.child = null;
    this.serving = null;
    serving?.reject(new Error('peerbroker is stopped'));
    if (!child) return;
    child.stdin.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT).unref();
    child.once('close', () => clearTimeout(timer));
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

/** Not readline, for which more characters than "\n" end a line. */
function eachLine(stream, handle) {
  const decoder = new StringDecoder('utf8');
  let parts = [];
  stream.on('data', (bytes) => {
    const [first, ...others] = decoder.write(bytes).split('\n');
    parts.push(first);
    for (const next of others) {
      const line = parts.join('');
      parts = [next];
      try {
        handle(line);
      } catch (error) {
        // A fault of a listener of the app, which may go on: then with the next line.
        process.nextTick(() => {
          throw error;
        });
      }
    }
  });
}

module.exports = { Program };
