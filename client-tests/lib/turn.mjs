// Clients of the TURN server in the broker.

import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { promisify } from 'node:util';
import { find } from './shipped-proxy.mjs';
import { LIMIT } from './within.mjs';

export const SECRET = '0123456789abcdef0123456789abcdef';

/** The flags of a broker with a TURN server at an address. */
export const turnFlags = (address, ...more) => ['--turn', address, '--turn_secret', SECRET, ...more];

/** Options of a Peer that uses only relayed addresses of these URLs. */
export function onlyThrough(...urls) {
  const username = `${Math.floor(Date.now() / 1000) + 600}:peerjs`;
  // Made without the code under test.
  const credential = createHmac('sha1', SECRET).update(username).digest('base64');
  return { config: { iceServers: [{ urls, username, credential }], iceTransportPolicy: 'relay' } };
}

/** Lets coturn's client send messages between two allocations; resolves with what it says about them. */
export async function runCoturnClient(port, { secret = SECRET, flags = [], address = '127.0.0.1' } = {}) {
  const words = ['-W', secret, '-u', 'peerjs', '-c', '-y', '-m', '2', '-n', '20', '-l', '500', '-p', `${port}`, ...flags, address];
  const { stdout } = await promisify(execFile)(find('turnutils_uclient'), words, { timeout: LIMIT });
  return stdout;
}
