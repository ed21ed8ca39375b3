// A number that both ends of a connection show if nobody stands between them, for people to compare. It is made of what each browser
// has proved of the other: the fingerprints of both descriptions, or the public keys of a pipe. The broker passes them on, and could
// put its own in their place, but then the two pages see different ones.

/** Makes it slow to look for fingerprints that lead to the same number. */
const ROUNDS = 200_000;
const SALT = 'peerbroker safety number 1';

/** In milliseconds: between two looks at a connection; the caller's nonce may take after its answer. */
const LOOK = 100;
const OPENING = 10_000;

/** Where webrtc.js tells the public keys of a pipe: its own and that of the other end. */
const PIPE_KEYS = Symbol.for('peerbroker.pipeKeys');

const none = (why) => new Error(`There is no safety number: ${why}`);
const pause = (time) => new Promise((over) => { setTimeout(over, time); });
const bytesOf = (text) => new TextEncoder().encode(text);
const base64Url = (bytes) => btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');
const hashOf = async (text) => base64Url(new Uint8Array(await crypto.subtle.digest('SHA-256', bytesOf(text))));

/** The fingerprints of a description, of all its sections. */
function fingerprintsOf(sdp) {
  const lines = [...sdp.matchAll(/^a=fingerprint:(\S+) (\S+)/gm)];
  return [...new Set(lines.map(([, hash, bytes]) => `${hash.toLowerCase()} ${bytes.toUpperCase()}`))].sort().join();
}

/** The texts of an end with this description: by native WebRTC, and over a pipe. */
const endsOf = (sdp) => [fingerprintsOf(sdp), `pipe ${/^a=pipe:1 \S+ (\S+)/m.exec(sdp)?.[1]}`];

/** Twelve digits with nonces, otherwise 32, of which older pages show the first twelve. */
async function numberOf(ends, nonces) {
  const { subtle } = globalThis.crypto;
  if (!subtle) throw new Error('A safety number needs HTTPS: over plain HTTP, others could change the page itself');
  const key = await subtle.importKey('raw', bytesOf([...ends.sort(), ...nonces].join('\n')), 'PBKDF2', false, ['deriveBits']);
  const derived = new DataView(await subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-256', salt: bytesOf(SALT), iterations: ROUNDS }, key, 192));
  const part = (number, digits) => String(number % 10n ** BigInt(digits)).padStart(digits, '0');
  const more = nonces.length > 0 ? '' : part((derived.getBigUint64(8) << 64n) | derived.getBigUint64(16), 20);
  return (part(derived.getBigUint64(0), 12) + more).replace(/.{4}(?=.)/g, '$& ');
}

/** Resolves once this is true. It looks again and again, because no event tells a page of its own `close()`. */
export async function until(isSo, most = Infinity) {
  for (let waited = 0; waited < most && !isSo(); waited += LOOK) await pause(LOOK);
}

/**
 * One side's part in a number that cannot be searched for, as in ZRTP (RFC 6189, section 4.4.1.1): the caller sends a hash of its
 * nonce with its key, the other side its nonce and key, and only then the caller its nonce.
 */
export class Exchange {
  #nonce = base64Url(crypto.getRandomValues(new Uint8Array(16)));
  /** What the other side has sent first, with its description. Nothing later changes it. */
  #theirs;
  #opening;
  /** For the offer: the hash of the nonce, but over plain HTTP undefined. */
  async commitment() {
    return crypto.subtle && hashOf(this.#nonce);
  }

  /** An answer came with this nonce. Returns the own one, for the other side. */
  answered(nonce, sdp) {
    return this.#hear({ nonce }, nonce, sdp);
  }

  /** An offer came with this commitment. Returns the nonce for the answer. */
  offered(commitment, sdp) {
    return this.#hear({ commitment }, commitment, sdp);
  }

  #hear(what, isThere, sdp) {
    if (this.#theirs || !isThere) return undefined;
    this.#theirs = { ...what, sdp: String(sdp) };
    return this.#nonce;
  }

  /** The caller's nonce came. */
  opened(nonce) {
    this.#opening ??= String(nonce);
  }

  /** The nonces of both sides, the caller's first; none, if the other page takes no part. @param {string} end the text of the other one */
  async nonces(end) {
    if (!this.#theirs) return [];
    const { commitment, nonce, sdp } = this.#theirs;
    if (!endsOf(sdp).includes(end)) throw none('the other page has changed its key');
    if (!commitment) return [this.#nonce, nonce];
    await until(() => this.#opening, OPENING);
    if (!this.#opening || await hashOf(this.#opening) !== commitment) throw none('the other page has not kept to its word');
    return [this.#opening, this.#nonce];
  }
}

/** The safety number of an RTCPeerConnection, as `1234 5678 9012`, or longer if the other page has no part in the exchange. */
export async function safetyNumber(connection, exchange = new Exchange()) {
  // Only then has the browser checked the fingerprint of the other end.
  await until(() => !['new', 'connecting'].includes(connection.connectionState));
  const { connectionState: state, currentLocalDescription: local, currentRemoteDescription: remote } = connection;
  if (state === 'failed' || state === 'closed') throw none(`the connection is ${state}`);
  const keys = connection[PIPE_KEYS];
  const [own, other] = keys ? keys.map((key) => `pipe ${base64Url(key)}`) : [local, remote].map((description) => fingerprintsOf(description?.sdp ?? ''));
  return numberOf([own, other], await exchange.nonces(other));
}
