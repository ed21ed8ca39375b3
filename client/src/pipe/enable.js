// Lets data of a page go over pipes. Most pages never need the engine, so it may be in a script that is loaded later.

import { startKeys } from './prepared-keys.js';
import { makeNativeFirst } from './native.js';
import { settingsOfPeer } from './settings.js';

/**
 * The settings of later connections of a page. With them, a second copy of this script finds the first, and the broker's other scripts
 * name the broker of a Peer. They are not at RTCPeerConnection, which libraries wrap.
 */
export const PIPES = Symbol.for('peerbroker.pipes');

/** @typedef {{ Session: any, adopt: any, keyPair: () => import('./prepared-keys.js').Pair, complete(settings: any): void }} Engine */
/** Where the engine comes from; `now`, if it is there. @typedef {{ now?: Engine, load(): Promise<Engine>, arrived?(engine: Engine): void }} Source */

/** @param {import('./settings.js').Settings} settings @param {Source} source */
export function enable(settings, source) {
  const scope = /** @type {any} */ (globalThis);
  const use = (others) => Object.assign(settings, others);
  const useBrokerOf = (peer) => peer.options && use(settingsOfPeer(peer));
  const arrived = (engine) => source.arrived?.(engine);
  const pipes = { use, useBrokerOf, arrived, coming: /** @type {Promise<any> | undefined} */ (undefined) };
  Object.defineProperty(scope, PIPES, { value: pipes });
  const Native = scope.RTCPeerConnection;
  if (Native) putConnection(makeNativeFirst(Native, settings, source));
  if (source.now) {
    source.now.complete(settings);
    return;
  }
  if (!Native) {
    // A Peer waits for it.
    const over = () => { pipes.coming = undefined; };
    pipes.coming = source.load();
    pipes.coming.then(over, over);
  }
  startKeys(source);
}

export const define = (name, value) => Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });

export function putConnection(Connection) {
  const scope = /** @type {any} */ (globalThis);
  define('RTCPeerConnection', Connection);
  // Old libraries know Chromium by this name, and send it messages of a size that it takes.
  if (/Chrom(e|ium)\//.test(scope.navigator?.userAgent)) define('webkitRTCPeerConnection', Connection);
  // PeerJS looks for WebRTC when it loads, which may have been before this script. Releases before 1.1 keep what they find there.
  const supports = scope.peerjs?.util?.supports;
  if (supports?.webRTC === false) Object.assign(supports, { webRTC: true, data: true, reliable: true });
}
