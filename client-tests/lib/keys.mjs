// Manages API keys like an operator: by the command line, in the test's own data directory.

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { scratch } from './scratch.mjs';
import { runCommand } from './server.mjs';
import { PATIENCE } from './within.mjs';

const minter = join(import.meta.dirname, '../../examples/tokens/mint.mjs');

export class Keys {
  #folder = scratch();

  /** Flags for a server that accepts only these keys. */
  get flags() {
    return ['--data_dir', this.#folder, '--no_default_key'];
  }

  add(key, ...options) {
    return runCommand('keys', 'add', '--data_dir', this.#folder, '--key', key, ...options);
  }

  /** Adds a key whose clients need a token; resolves with `(id, seconds) => token`. */
  async addWithTokens(key, ...options) {
    const secret = randomBytes(32).toString('hex');
    const file = join(this.#folder, 'jwt.secret');
    writeFileSync(file, `${secret}\n`);
    await this.add(key, '--auth', 'jwt', '--jwt_secret_file', file, ...options);
    return (id, seconds = 3_600) => mint(secret, id, seconds);
  }

  disable(key) {
    return runCommand('keys', 'disable', key, '--data_dir', this.#folder);
  }

  enable(key) {
    return runCommand('keys', 'enable', key, '--data_dir', this.#folder);
  }
}

/** Creates a token like an app's server; a negative number of seconds makes an expired one. */
async function mint(secret, id, seconds) {
  const words = [minter, '--id', id, `--seconds=${seconds}`];
  const env = { ...process.env, JWT_SECRET: secret };
  const { stdout } = await promisify(execFile)(process.execPath, words, { env, timeout: PATIENCE });
  return stdout.trim();
}
