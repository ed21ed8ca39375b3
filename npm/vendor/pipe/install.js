// Makes RTCPeerConnection what a page needs: `install({ broker: 'https://broker.example/' })`, before anything looks for WebRTC.

import { DataChannel, descendFrom } from './data-channel.js';
import { IceCandidate, SessionDescription } from './descriptions.js';
import { DataChannelEvent, IceEvent } from './events.js';
import { prepareKeys } from './keys.js';
import { makeNativeFirst } from './native.js';
import { makeStandIn } from './stand-in.js';

/** Where a page keeps the settings, so that a second copy of this script finds those of the first. */
const SETTINGS = Symbol.for('peerbroker.pipe');

/**
 * @param {{ broker: string, key?: string, token?: string | (() => string | Promise<string>) }} options `broker` is the address of the
 * broker with its path; `token` a proof of identity, for keys that want one.
 */
export function install({ broker, key = 'peerjs', token = undefined }) {
  const scope = /** @type {any} */ (globalThis);
  const settings = { broker: addressOf(broker), key, token };
  const known = scope.RTCPeerConnection?.[SETTINGS];
  if (known) {
    Object.assign(known, settings);
    return;
  }
  const Native = scope.RTCPeerConnection;
  const Connection = Native ? makeNativeFirst(Native, settings) : makeStandIn(settings);
  Object.defineProperty(Connection, SETTINGS, { value: settings });
  if (Native) descendFrom(scope.RTCDataChannel);
  const missing = {
    RTCSessionDescription: SessionDescription,
    RTCIceCandidate: IceCandidate,
    RTCDataChannel: DataChannel,
    RTCDataChannelEvent: DataChannelEvent,
    RTCPeerConnectionIceEvent: IceEvent,
  };
  for (const [name, Class] of Object.entries(missing)) {
    if (!scope[name]) define(scope, name, Class);
  }
  define(scope, 'RTCPeerConnection', Connection);
  prepareKeys();
  // Old libraries know Chromium by this name, and send it messages of a size that it takes.
  if (/Chrom(e|ium)\//.test(scope.navigator?.userAgent)) define(scope, 'webkitRTCPeerConnection', Connection);
}

const define = (scope, name, value) => Object.defineProperty(scope, name, { value, writable: true, configurable: true });

function addressOf(broker) {
  if (typeof broker !== 'string') throw new TypeError(`install({ broker }) needs the address of a broker, not ${broker}`);
  const url = new URL(broker, globalThis.location?.href);
  url.protocol = url.protocol.replace('ws', 'http');
  if (!/^https?:$/.test(url.protocol)) throw new TypeError(`The address of a broker begins with https:// or http://, not ${url.protocol}`);
  url.search = '';
  url.hash = '';
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url.href;
}
