// Clients of the TURN server in the broker.

import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { promisify } from 'node:util';
import { find } from './shipped-proxy.mjs';
import { LIMIT } from './within.mjs';

export const SECRET = '0123456789abcdef0123456789abcdef';

/** The flags of a broker with a TURN server at an address. */
export const turnFlags = (address, ...more) => ['--turn', address, '--turn_secret', SECRET, ...more];

/** The end of credentials, in seconds since 1970. */
const expiry = () => Math.floor(Date.now() / 1000) + 600;

/** A username and its password, made without the code under test. @returns {[string, string]} */
const credentials = (username) => [username, createHmac('sha1', SECRET).update(username).digest('base64')];

/** Options of a Peer that uses only relayed addresses of these URLs. */
export const onlyThrough = (...urls) => onlyAs(credentials(`${expiry()}:peerjs`), ...urls);

/** The same for a user. */
export const onlyAs = ([username, credential], ...urls) =>
  ({ config: { iceServers: [{ urls, username, credential }], iceTransportPolicy: 'relay' } });

/** Lets coturn's client send messages between two allocations; resolves with what it says about them. */
export async function runCoturnClient(port, flags) {
  const words = ['-W', SECRET, '-u', 'peerjs', '-c', '-y', '-m', '2', '-l', '500', '-p', `${port}`, ...flags, '127.0.0.1'];
  const { stdout } = await promisify(execFile)(find('turnutils_uclient'), words, { timeout: LIMIT });
  return stdout;
}
