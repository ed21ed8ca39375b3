// Keys and sealing: what DTLS and its fingerprints are to native WebRTC. Only noble's libraries: a page on plain HTTP has no `crypto.subtle`.

import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { pow } from '@noble/curves/abstract/modular.js';
import { montgomery } from '@noble/curves/abstract/montgomery.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { concat, toUtf8 } from './bytes.js';

/** Bytes that sealing adds. */
export const TAG_BYTES = 16;

const P = 2n ** 255n - 19n;

// `x25519` of noble's ed25519.js would bring Edwards curves, too: 7 KB.
const x25519 = /* @__PURE__ */ montgomery({
  P,
  type: 'x25519',
  powPminus2: (x) => pow(x, P - 2n, P),
  // RFC 7748, section 5.
  adjustScalarBytes(bytes) {
    bytes[0] &= 248;
    bytes[31] = (bytes[31] & 127) | 64;
    return bytes;
  },
});

/** A pair, of this private key if there is one. @param {any} secret */
export function keyPair(secret = x25519.utils.randomSecretKey()) {
  return { secret, key: x25519.getPublicKey(secret) };
}

/**
 * The keys of both directions. Throws if the other public key is of low order.
 * @param {Uint8Array} secret the private key of this side
 * @param {Uint8Array} other the public key of the other side
 * @param {{ id: Uint8Array, key: Uint8Array }} offer
 * @param {{ id: Uint8Array, key: Uint8Array }} answer
 */
export function deriveKeys(secret, other, offer, answer) {
  const shared = x25519.getSharedSecret(secret, other);
  const salt = sha256(concat(offer.id, answer.id, offer.key, answer.key));
  const of = (side) => hkdf(sha256, shared, salt, toUtf8(`peerbroker pipe 1 ${side}`), 32);
  return { offerer: of('offerer'), answerer: of('answerer') };
}

/** The nonce of RFC 8439 from a header, whose last eight bytes are the counter. */
function nonceOf(header) {
  const nonce = new Uint8Array(12);
  nonce.set(header.subarray(-8), 4);
  return nonce;
}

/** Seals under a header that no other record of this key has. */
export const seal = (key, header, plain) => chacha20poly1305(key, nonceOf(header), header).encrypt(plain);

/** Throws if another page, or another direction, has sealed this, or if one bit differs. */
export const unseal = (key, header, sealed) => chacha20poly1305(key, nonceOf(header), header).decrypt(sealed);
