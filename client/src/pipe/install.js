// Makes RTCPeerConnection what a page needs: `install({ broker: 'https://broker.example/' })`, before anything looks for WebRTC.

import { DataChannel, descendFrom } from './data-channel.js';
import { IceCandidate, SessionDescription } from './descriptions.js';
import { DataChannelEvent, IceEvent, RtcError, RtcErrorEvent } from './events.js';
import { prepareKeys } from './keys.js';
import { makeNativeFirst } from './native.js';
import { makeStandIn } from './stand-in.js';

/**
 * The settings of later connections of a page. With them, a second copy of this script finds the first, and the broker's other scripts
 * name the broker of a Peer. They are not at RTCPeerConnection, which libraries wrap.
 */
const PIPES = Symbol.for('peerbroker.pipes');

/**
 * @param {{ broker: string, key?: string, peer?: string, token?: string | (() => string | Promise<string>) }} options `broker` is the address
 * of the broker with its path; `token` proves that the page is the `peer`, for keys that want that.
 */
export function install({ broker, key = 'peerjs', peer = undefined, token = undefined }) {
  const scope = /** @type {any} */ (globalThis);
  const settings = { broker: addressOf(broker), key, peer, token };
  if (scope[PIPES]) {
    scope[PIPES].use(settings);
    return;
  }
  const Native = scope.RTCPeerConnection;
  const Connection = Native ? makeNativeFirst(Native, settings) : makeStandIn(settings);
  const use = (others) => Object.assign(settings, others);
  Object.defineProperty(scope, PIPES, { value: { use, useBrokerOf: ({ id, options }) => options && use(settingsOf(id, options)) } });
  if (Native) descendFrom(scope.RTCDataChannel);
  const missing = {
    RTCSessionDescription: SessionDescription,
    RTCIceCandidate: IceCandidate,
    RTCDataChannel: DataChannel,
    RTCDataChannelEvent: DataChannelEvent,
    RTCPeerConnectionIceEvent: IceEvent,
    RTCError: RtcError,
    RTCErrorEvent: RtcErrorEvent,
  };
  for (const [name, Class] of Object.entries(missing)) {
    if (!scope[name]) define(scope, name, Class);
  }
  define(scope, 'RTCPeerConnection', Connection);
  tellPeerJs(scope.peerjs?.util?.supports);
  prepareKeys();
  // Old libraries know Chromium by this name, and send it messages of a size that it takes.
  if (/Chrom(e|ium)\//.test(scope.navigator?.userAgent)) define(scope, 'webkitRTCPeerConnection', Connection);
}

const define = (scope, name, value) => Object.defineProperty(scope, name, { value, writable: true, configurable: true });

/** PeerJS looks for WebRTC when it loads, which may have been before this script. Releases before 1.1 keep what they find there. */
function tellPeerJs(supports) {
  if (supports?.webRTC === false) Object.assign(supports, { webRTC: true, data: true, reliable: true });
}

/** The settings of a Peer of PeerJS, which writes its id, key and token into addresses as they are. */
function settingsOf(id, { secure, host, port, path, key, token }) {
  const read = (text) => text && new URLSearchParams(`it=${text}`).get('it');
  return { broker: `${secure ? 'https' : 'http'}://${host}:${port}${path}`, key: read(key), peer: read(id), token: read(token) };
}

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
