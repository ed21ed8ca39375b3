// A number that both ends of a connection show if nobody stands between them, for people to compare. It is made of what each browser
// has proved of the other: the fingerprints of both descriptions, or the public keys of a pipe. The broker passes them on, and could
// put its own in their place, but then the two pages see different ones.

/** Makes it slow to look for fingerprints that lead to the same number. */
const ROUNDS = 200_000;
const SALT = 'peerbroker safety number 1';

/** Where webrtc.js tells the public keys of a pipe: its own and that of the other end. */
const PIPE_KEYS = Symbol.for('peerbroker.pipeKeys');

/** The fingerprints of a description, of all its sections. */
function fingerprintsOf(description) {
  const lines = [...(description?.sdp ?? '').matchAll(/^a=fingerprint:(\S+) (\S+)/gm)];
  return [...new Set(lines.map(([, hash, bytes]) => `${hash.toLowerCase()} ${bytes.toUpperCase()}`))].sort().join();
}

const base64Url = (bytes) => btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');

/** Twelve digits of two ends, each a text of ASCII. */
async function numberOf(ends) {
  const { subtle } = globalThis.crypto;
  if (!subtle) throw new Error('A safety number needs HTTPS: over plain HTTP, others could change the page itself');
  const bytes = (text) => new TextEncoder().encode(text);
  const key = await subtle.importKey('raw', bytes([...ends].sort().join('\n')), 'PBKDF2', false, ['deriveBits']);
  const derived = await subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-256', salt: bytes(SALT), iterations: ROUNDS }, key, 64);
  const digits = String(new DataView(derived).getBigUint64(0) % 10n ** 12n).padStart(12, '0');
  return `${digits.slice(0, 4)} ${digits.slice(4, 8)} ${digits.slice(8)}`;
}

/** Resolves once an RTCPeerConnection is connected: only then has the browser checked the fingerprint of the other end. */
function connected(connection) {
  return new Promise((done, failed) => {
    const look = () => {
      const state = connection.connectionState;
      if (state === 'new' || state === 'connecting') return;
      connection.removeEventListener('connectionstatechange', look);
      if (state === 'failed' || state === 'closed') failed(new Error(`There is no safety number: the connection is ${state}`));
      else done();
    };
    connection.addEventListener('connectionstatechange', look);
    look();
  });
}

/** The safety number of an RTCPeerConnection, as `1234 5678 9012`. */
export async function safetyNumber(connection) {
  await connected(connection);
  const keys = connection[PIPE_KEYS];
  if (keys) return numberOf(keys.map((key) => `pipe ${base64Url(key)}`));
  const { currentLocalDescription: local, currentRemoteDescription: remote } = connection;
  return numberOf([local, remote].map(fingerprintsOf));
}
