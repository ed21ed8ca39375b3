// The server under test, as a child process on a free loopback port.

import { execFile, execFileSync, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { scratch } from './scratch.mjs';
import { PATIENCE, within } from './within.mjs';

const here = import.meta.dirname;
/** The path of npm's peerjs-server. */
export const npmServer = resolve(here, '../node_modules/.bin/peerjs');

/** The path of the server. */
export const binary = process.env.PEERBROKER_BIN
  ? resolve(process.env.PEERBROKER_BIN)
  : resolve(here, '../../target/release/peerbroker');

const START_LINE = /^Started PeerServer on \S+, port: (\d+), path: /;

/**
 * Starts the server with extra flags, on a free port unless they name one, and waits until it listens. `network` is one of
 * `Network`, on whose server it runs, or on another `machine` of it; by default it runs on this machine's loopback. With `tls`
 * it has a certificate: a self-signed one, or that of these files.
 */
export async function startServer(flags = [], { tls = false, network = undefined, machine = network?.server, program = binary } = {}) {
  const isOther = machine !== network?.server;
  const host = (isOther ? machine.at : network?.address) ?? '127.0.0.1';
  const ownFlags = flags.includes('--host') ? [] : ['--host', isOther ? host : network?.listen ?? host];
  if (!flags.includes('--port')) ownFlags.push('--port', '0');
  if (tls) {
    const { key, cert } = tls === true ? selfSigned() : tls;
    ownFlags.push('--sslkey', key, '--sslcert', cert);
  }
  const server = new Server(program, [...ownFlags, ...flags], { host, secure: Boolean(tls), machine });
  try {
    const [, port] = await server.line(START_LINE);
    server.port = Number(port);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

/** Runs another command of the binary; resolves with its output. */
export async function runCommand(...words) {
  const { stdout } = await promisify(execFile)(binary, words, { env: plainEnvironment(), timeout: PATIENCE });
  return stdout;
}

class Server {
  port = undefined;
  output = [];
  errors = [];
  #child;
  #watchers = new Set();
  #killWithUs = () => this.#child.kill('SIGKILL');

  constructor(program, flags, { host, secure, machine }) {
    this.host = host;
    this.secure = secure;
    const [command, words] = machine?.command(program, ...flags) ?? [program, flags];
    this.#child = spawn(command, words, { env: plainEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] });
    process.once('exit', this.#killWithUs);

    createInterface(this.#child.stdout).on('line', (line) => {
      this.output.push(line);
      for (const watcher of this.#watchers) watcher();
    });
    createInterface(this.#child.stderr).on('line', (line) => this.errors.push(line));

    /** Resolves with `{code, signal}` once the process is gone and its output is read. */
    this.exited = new Promise((done, failed) => {
      this.#child.once('error', failed);
      this.#child.once('close', (code, signal) => done({ code, signal }));
    });
    this.exited.catch(() => {});
  }

  /** The URL of the WebSocket at the root, for rooms and calls. */
  get socketUrl() {
    return `${this.secure ? 'wss' : 'ws'}://localhost:${this.port}/`;
  }

  /** Waits for a line on stdout, past or to come; resolves with the match. */
  line(pattern) {
    const seen = new Promise((found) => {
      const look = () => {
        const match = this.output.map((line) => line.match(pattern)).find(Boolean);
        if (match) {
          this.#watchers.delete(look);
          found(match);
        }
      };
      this.#watchers.add(look);
      look();
    });
    const died = this.exited.then(({ code, signal }) => {
      throw new Error(`the server ended (${signal ?? code}) before printing ${pattern}\n${this.transcript()}`);
    });
    const what = () => `the server to print ${pattern}; it said:\n${this.transcript()}`;
    return within(what, Promise.race([seen, died]));
  }

  get pid() {
    return this.#child.pid;
  }

  signal(name) {
    this.#child.kill(name);
  }

  /** Ends the process, by SIGTERM if it reacts to that, otherwise by SIGKILL. */
  async stop() {
    this.signal('SIGTERM');
    const insist = setTimeout(() => this.signal('SIGKILL'), 2_000);
    await this.exited.catch(() => {});
    clearTimeout(insist);
    process.off('exit', this.#killWithUs);
  }

  transcript() {
    return [...this.output, ...this.errors.map((line) => `stderr: ${line}`)].join('\n');
  }
}

/** The environment without variables that would configure the server. */
export function plainEnvironment() {
  const settings = Object.entries(process.env).filter(([name]) => !/^(PEERBROKER|PEERSERVER)_/.test(name));
  // peerjs-server accepts port 0 only from this variable.
  return { ...Object.fromEntries(settings), PORT: '0' };
}

// An interrupted run ends its servers as well: without a handler a signal skips 'exit'.
for (const name of /** @type {NodeJS.Signals[]} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.once(name, () => process.exit(128 + constants.signals[name]));
}

let certificate;

/** A key and a certificate for 127.0.0.1, made once per process. */
export function selfSigned() {
  if (certificate) return certificate;
  const folder = scratch();
  const key = join(folder, 'key.pem');
  const cert = join(folder, 'cert.pem');
  execFileSync('openssl', [
    'req', '-x509', '-nodes', '-days', '2',
    '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1',
    '-keyout', key, '-out', cert,
    '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1',
  ], { stdio: 'pipe' });
  certificate = { key, cert };
  return certificate;
}
