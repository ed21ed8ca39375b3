// The pair of keys of connections that begin now. It is made before, because that takes some milliseconds, for which a connection would wait.

import { fromBase64Url } from './bytes.js';

/** @typedef {{ secret: Uint8Array, key: Uint8Array }} Pair */

/** In milliseconds: connections that begin within this time share a pair, because each has its own id, and so its own keys. */
const SHARED = 1_000;

/** In milliseconds: pages that nobody sees are never idle. */
const MOST_BUSY = 10_000;

/** In milliseconds: a description waits so long for the first pair. */
const FIRST_WAIT = 3_000;

/** @type {Pair | undefined} */
let current;

/** True if a connection has `current`, which will be another one soon. */
let isUsed = false;

/** @type {import('./enable.js').Source} */
let source;

/** Resolves when there is a pair, or none can be made. */
let coming = Promise.resolve();

/** Makes pairs from now on. @param {import('./enable.js').Source} engine has `keyPair` for browsers that make none */
export function startKeys(engine) {
  source = engine;
  prepareKeys();
}

/** Makes another pair: the browser in another thread or, where it has no X25519, the page when it has nothing else to do. */
export function prepareKeys() {
  coming = makePair().then((pair) => {
    current = pair;
    isUsed = false;
  }, () => {});
  return coming;
}

/** Throws where the browser makes none, and the script that does has not loaded. */
async function makePair() {
  try {
    return await pairOfBrowser();
  } catch {
    const { keyPair } = await source.load();
    const whenIdle = globalThis.requestIdleCallback ?? ((make) => setTimeout(make));
    return new Promise((done) => { whenIdle(() => done(keyPair()), { timeout: MOST_BUSY }); });
  }
}

/** Throws on plain HTTP, and in browsers without X25519. */
async function pairOfBrowser() {
  const { privateKey } = /** @type {CryptoKeyPair} */ (await crypto.subtle.generateKey({ name: 'X25519' }, true, ['deriveBits']));
  const { d, x } = await crypto.subtle.exportKey('jwk', privateKey);
  return { secret: fromBase64Url(d), key: fromBase64Url(x) };
}

/** The pair of a connection that begins now, if there is one. */
export function currentKeys() {
  current ??= source.now?.keyPair();
  if (current && !isUsed) {
    setTimeout(prepareKeys, SHARED);
    isUsed = true;
  }
  return current;
}

export const firstKeys = () => Promise.race([coming, new Promise((over) => { setTimeout(over, FIRST_WAIT); })]);
