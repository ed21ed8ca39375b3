// The parts that a connection over a pipe needs, and most pages never load.

import { DataChannel, adopt, descendFrom } from './data-channel.js';
import { IceCandidate, SessionDescription } from './descriptions.js';
import { define, putConnection } from './enable.js';
import { DataChannelEvent, IceEvent, RtcError, RtcErrorEvent } from './events.js';
import { startKeys } from './prepared-keys.js';
import { keyPair } from './sealing.js';
import { Session } from './session.js';
import { makeStandIn } from './stand-in.js';

/** Gives a page what its browser lacks. */
function complete(settings) {
  const scope = /** @type {any} */ (globalThis);
  if (scope.RTCDataChannel) descendFrom(scope.RTCDataChannel);
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
    if (!scope[name]) define(name, Class);
  }
  if (!scope.RTCPeerConnection) putConnection(makeStandIn(settings));
  startKeys(source);
}

/** @type {import('./enable.js').Engine} */
export const engine = { Session, adopt, keyPair, complete };

/** @type {import('./enable.js').Source} */
export const source = { now: engine, load: async () => engine };
