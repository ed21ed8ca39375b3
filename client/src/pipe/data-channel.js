// RTCDataChannel over a pipe: an object of its own, or a native one that native WebRTC has given up.

import { addHandlers } from './events.js';

/** The channel behind each object of a page. @type {WeakMap<object, import('./channels.js').Channel>} */
const channels = new WeakMap();

const of = (target) => /** @type {import('./channels.js').Channel} */ (channels.get(target));

export class DataChannel extends EventTarget {
  get label() { return of(this).options.label; }
  get protocol() { return of(this).options.protocol; }
  get ordered() { return of(this).options.ordered; }
  get maxRetransmits() { return of(this).options.maxRetransmits; }
  get maxPacketLifeTime() { return of(this).options.maxPacketLifeTime; }
  get negotiated() { return of(this).options.negotiated; }
  /** Of old pages: nothing is ever lost in a pipe. */
  get reliable() { return of(this).options.maxRetransmits === null && of(this).options.maxPacketLifeTime === null; }
  get id() { return of(this).id; }
  get readyState() { return of(this).state; }
  get bufferedAmount() { return of(this).bufferedAmount; }
  get bufferedAmountLowThreshold() { return of(this).threshold; }
  set bufferedAmountLowThreshold(bytes) { of(this).threshold = bytes >>> 0; }
  get binaryType() { return of(this).binaryType; }

  set binaryType(type) {
    if (type === 'blob' || type === 'arraybuffer') of(this).binaryType = type;
  }

  send(data) { of(this).send(data); }
  close() { of(this).close(); }
}

addHandlers(DataChannel, ['open', 'message', 'bufferedamountlow', 'error', 'closing', 'close']);

/** The object of a page for a channel. */
export function present(channel) {
  const target = new DataChannel();
  channels.set(target, channel);
  channel.target = target;
  return target;
}

/** From now on the native object is this channel. Its handlers and listeners stay. */
export function adopt(target, channel) {
  channel.binaryType = target.binaryType;
  channel.threshold = target.bufferedAmountLowThreshold;
  channels.set(target, channel);
  channel.target = target;
  for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(DataChannel.prototype))) {
    if (name !== 'constructor' && !name.startsWith('on')) Object.defineProperty(target, name, { ...property, configurable: true });
  }
}

/** Makes channels of pipes pass `instanceof RTCDataChannel` beside native ones. */
export function descendFrom(Native) {
  Object.setPrototypeOf(DataChannel.prototype, Native.prototype);
}
