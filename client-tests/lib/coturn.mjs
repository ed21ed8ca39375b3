// A real coturn, which shares a secret with the broker.

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { find, freePort, listens } from './shipped-proxy.mjs';
import { within } from './within.mjs';

const SECRET = 'a-secret-of-the-tests-0123456789';

/** Starts coturn on a free port of this machine's loopback, with its files in a folder of its own. */
export async function startCoturn() {
  const folder = mkdtempSync(join(tmpdir(), 'peerbroker-coturn-'));
  const port = await freePort();
  const words = [
    '-n', '--no-cli', '--no-tls', '--no-dtls', '--listening-ip=127.0.0.1', '--relay-ip=127.0.0.1', '--allow-loopback-peers',
    `--listening-port=${port}`, '--realm=tests', '--use-auth-secret', `--static-auth-secret=${SECRET}`, '--fingerprint',
    '--log-file=stdout', '--simple-log', '--verbose', `--pidfile=${join(folder, 'pid')}`, `--userdb=${join(folder, 'db')}`,
  ];
  const child = spawn(find('turnserver'), words, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const killWithUs = () => child.kill('SIGKILL');
  process.once('exit', killWithUs);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => { said += bytes; });
  const exited = once(child, 'close');
  const coturn = {
    url: `turn:127.0.0.1:${port}?transport=udp`,
    /** The flags of a broker whose clients may use it. */
    flags: ['--turn_url', `turn:127.0.0.1:${port}?transport=udp`, '--turn_secret', SECRET],
    said: () => said,
    async stop() {
      child.kill('SIGKILL');
      await exited;
      process.off('exit', killWithUs);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  const died = exited.then(([code]) => {
    throw new Error(`coturn ended (${code}) and said:\n${said}`);
  });
  died.catch(() => {});
  try {
    await within(() => `coturn to listen; it said:\n${said}`, Promise.race([listens(port), died]));
  } catch (error) {
    await coturn.stop();
    throw error;
  }
  return coturn;
}

/** The password of a username, made without the code under test. */
export const passwordOf = (username) => createHmac('sha1', SECRET).update(username).digest('base64');
