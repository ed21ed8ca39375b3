// A machine on a network of the tests: a network namespace with an address, in which programs run.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { PATIENCE } from '../within.mjs';

const PREFIX = 'peerbroker';
let count = 0;

export class Namespace {
  /** Its first address. */
  at;
  #folder;
  #remove = () => this.remove();

  /** `role` is for people who look at `ip netns`. */
  constructor(role) {
    this.name = `${PREFIX}-${process.pid}-${++count}-${role}`;
    ip('netns', 'add', this.name);
    process.once('exit', this.#remove);
    // An IPv6 address, also the one that each interface gets by itself, is there at once. Otherwise it comes a second or two
    // later, and a browser that sees a new address breaks off what it loads: ERR_NETWORK_CHANGED.
    for (const interfaces of ['all', 'default']) this.#set(`net/ipv6/conf/${interfaces}/accept_dad`, 0);
    this.ip('link', 'set', 'lo', 'up');
  }

  /**
   * A program and its arguments, as the words of a command that runs it here under its own process id.
   * @returns {[string, string[]]}
   */
  command(program, ...words) {
    return ['ip', ['netns', 'exec', this.name, program, ...words]];
  }

  /** An executable file that runs a program here, for libraries that take only a path. */
  wrapper(program) {
    this.#folder ??= mkdtempSync(join(tmpdir(), `${this.name}-`));
    const [first, words] = this.command(program);
    const path = join(this.#folder, program.replaceAll('/', '-'));
    writeFileSync(path, `#!/bin/sh\nexec ${first} ${words.join(' ')} "$@"\n`, { mode: 0o755 });
    return path;
  }

  /** Programs that are started from now on find a host name at an address. */
  resolve(name, address) {
    mkdirSync(this.#etc, { recursive: true });
    // `ip netns exec` puts it in the place of /etc/hosts. Firefox looks up the name of its own machine when it starts, and waits
    // 20 s for a name server that nobody reaches from here.
    writeFileSync(join(this.#etc, 'hosts'), `127.0.0.1 localhost ${hostname()}\n${address} ${name}\n`);
  }

  get #etc() {
    return join('/etc/netns', this.name);
  }

  /** Runs `ip` for this namespace. */
  ip(...words) {
    ip('-n', this.name, ...words);
  }

  /** Gives an address to an interface and switches it on. */
  addAddress(device, address) {
    this.at ??= address.split('/')[0];
    this.ip('address', 'add', address, 'dev', device);
    this.ip('link', 'set', device, 'up');
  }

  /** Turns forwarding of packets for other machines on or off. */
  forwarding(on) {
    this.#set('net/ipv4/ip_forward', on ? 1 : 0);
  }

  /** Sets a parameter of the kernel for this namespace. */
  #set(parameter, value) {
    const [program, words] = this.command('sh', '-c', `echo ${value} > /proc/sys/${parameter}`);
    run(program, words);
  }

  /** Adds rules to the packet filter, in its own language. */
  filter(rules) {
    const [program, words] = this.command('nft', '-f', '-');
    run(program, words, rules);
  }

  /** Ends every program that runs here, and the namespace. */
  remove() {
    removeNamed(this.name);
    rmSync(this.#etc, { recursive: true, force: true });
    if (this.#folder) rmSync(this.#folder, { recursive: true, force: true });
    process.off('exit', this.#remove);
  }
}

/** Removes what is left of tests that were killed. */
export function removeOrphans() {
  for (const name of namespaces()) {
    const [, pid] = name.match(`^${PREFIX}-(\\d+)-`) ?? [];
    if (!pid || isRunning(Number(pid))) continue;
    try {
      removeNamed(name);
    } catch (error) {
      // Another test file has been faster.
      if (namespaces().includes(name)) throw error;
    }
  }
}

function removeNamed(name) {
  // More than once, for programs that were started while we looked.
  for (let rounds = 100; rounds > 0; rounds -= 1) {
    const pids = ip('netns', 'pids', name).match(/\d+/g) ?? [];
    if (pids.length === 0) break;
    pids.map(Number).forEach(end);
  }
  ip('netns', 'delete', name);
}

function end(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

const namespaces = () => ip('netns', 'list').split('\n').map((line) => line.split(' ')[0]).filter(Boolean);

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch ({ code }) {
    return code === 'EPERM';
  }
}

/** Runs `ip`; returns what it printed. */
export const ip = (...words) => run('ip', words);

function run(program, words, input = '') {
  return execFileSync(program, words, { input, encoding: 'utf8', stdio: 'pipe', timeout: PATIENCE });
}
