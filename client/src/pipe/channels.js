// Data channels over the records of a pipe.

import { fromUtf8, toUtf8 } from './bytes.js';
import { COST, MOST_KEPT, NUMBERS, readOptions } from './channel-options.js';
import { BINARY, CLOSE, MOST_PAYLOAD, OPEN, PART, PipeError, TEXT, writeRecord } from './frames.js';
import { RtcErrorEvent, nextTask } from './events.js';

/** The largest message, as in Chromium. */
export const MOST_MESSAGE = 262_144;

/** Most bytes that wait in a channel, as in Chromium. */
const MOST_BUFFERED = 16 * 1_048_576;

/** Most bytes of an OPEN: a label and a protocol of 65,535 bytes each, escaped in JSON. */
const MOST_OPEN = 1_048_576;

const CHANNEL_COST = 4_096;

const failure = (name, message) => new DOMException(message, name);

/** @param {any} data a string, or bytes, which the page may change afterwards */
function bytesOf(data) {
  if (data instanceof ArrayBuffer) return new Uint8Array(data.slice(0));
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
}

/** The bytes of what all channels keep for the other side. */
class Kept {
  #bytes = 0;

  add(bytes) {
    this.#bytes += bytes;
    if (this.#bytes > MOST_KEPT) throw new PipeError(`the other page has sent more than ${MOST_KEPT} bytes that have to be kept`);
  }

  remove(bytes) {
    this.#bytes -= bytes;
  }
}

/** A message that comes in parts. Its buffer doubles, so that many small parts cost as much as one. */
class Parts {
  #kept;
  #most;
  #buffer = new Uint8Array();
  #length = 0;

  constructor(kept, most) {
    this.#kept = kept;
    this.#most = most;
    kept.add(COST);
  }

  add(payload) {
    const length = this.#length + payload.length;
    if (length > this.#most) throw new PipeError(`a message has more than ${this.#most} bytes`);
    if (length > this.#buffer.length) this.#grow(Math.min(this.#most, Math.max(length, 2 * this.#buffer.length)));
    this.#buffer.set(payload, this.#length);
    this.#length = length;
  }

  #grow(size) {
    this.#kept.add(size - this.#buffer.length);
    const larger = new Uint8Array(size);
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }

  /** The whole message, with an end that is no part. */
  end(payload) {
    this.add(payload);
    this.drop();
    return this.#buffer.slice(0, this.#length);
  }

  drop() {
    this.#kept.remove(COST + this.#buffer.length);
  }
}

/** One channel, without its events: these go to `target`, the object that the page has. */
export class Channel {
  /** @type {'connecting' | 'open' | 'closing' | 'closed'} */
  state = 'connecting';
  binaryType = 'arraybuffer';
  bufferedAmount = 0;
  threshold = 0;
  counts = { messagesSent: 0, bytesSent: 0, messagesReceived: 0, bytesReceived: 0 };
  /** @type {EventTarget} */
  target = new EventTarget();
  #wake;
  /** Records that wait for room. @type {{ kind: number, bytes?: Uint8Array, at: number, size: number }[]} */
  #queue = [];
  #kept;
  /** @type {Parts | undefined} */
  #parts;
  #hasSaidClose = false;
  #hasHeardClose = false;
  /** Bytes that have gone to the transport in this task. */
  #sent = 0;
  /** The bytes that it counts among what is kept: none, if this page has made it. */
  cost = 0;
  /** Events that wait until the page has heard of the channel. @type {Event[] | undefined} */
  #held;
  /** The bytes of messages among them. */
  #heldBytes = 0;

  constructor(options, wake, kept) {
    this.options = options;
    /** @type {number | null} */
    this.id = options.id;
    this.#wake = wake;
    this.#kept = kept;
  }

  tell(event) {
    if (this.#held) this.#held.push(event);
    else this.target.dispatchEvent(event);
  }

  get hasWaiting() {
    return this.#queue[0]?.bytes !== undefined && this.state !== 'connecting';
  }

  /** The transport is there: the other side hears of the channel before its messages. */
  open() {
    if (this.state !== 'connecting') return;
    this.state = 'open';
    if (!this.options.negotiated) this.#announce();
    this.tell(new Event('open'));
  }

  #announce() {
    const { label, protocol, ordered, maxRetransmits, maxPacketLifeTime } = this.options;
    const bytes = toUtf8(JSON.stringify({ label, protocol, ordered, maxRetransmits, maxPacketLifeTime }));
    this.#queue.unshift({ kind: OPEN, bytes, at: 0, size: 0 });
    this.#wake(this);
  }

  /** The other side has opened it. The page gets a task to listen before it hears more. */
  arrive(present) {
    this.state = 'open';
    this.#held = [new Event('open')];
    present();
    nextTask(() => {
      const held = this.#held ?? [];
      this.#held = undefined;
      this.#kept.remove(this.#heldBytes);
      for (const event of held) this.tell(event);
    });
  }

  send(data) {
    if (this.state !== 'open') throw failure('InvalidStateError', `The channel is ${this.state}, not open`);
    const isBytes = data instanceof ArrayBuffer || ArrayBuffer.isView(data);
    if (typeof Blob !== 'undefined' && data instanceof Blob) {
      this.#put({ kind: BINARY, bytes: undefined, at: 0, size: data.size });
      this.#readBlob(data, this.#queue[this.#queue.length - 1]);
      return;
    }
    const bytes = isBytes ? bytesOf(data) : toUtf8(String(data));
    this.#put({ kind: isBytes ? BINARY : TEXT, bytes, at: 0, size: bytes.length });
    this.#wake(this);
  }

  #put(message) {
    if (message.size > MOST_MESSAGE) throw new TypeError(`A message has at most ${MOST_MESSAGE} bytes, not ${message.size}`);
    if (this.bufferedAmount + message.size > MOST_BUFFERED) throw failure('OperationError', 'The channel has too many bytes that wait');
    this.bufferedAmount += message.size;
    this.counts.messagesSent += 1;
    this.counts.bytesSent += message.size;
    this.#queue.push(message);
  }

  /** Messages behind a Blob wait for it. */
  async #readBlob(blob, message) {
    try {
      message.bytes = new Uint8Array(await blob.arrayBuffer());
      this.#wake(this);
    } catch (error) {
      this.ended({ error });
    }
  }

  /** The next record, for the transport. */
  take() {
    const message = this.#queue[0];
    const { kind, at } = message;
    const bytes = /** @type {Uint8Array} */ (message.bytes);
    const payload = bytes.subarray(at, at + MOST_PAYLOAD);
    message.at += payload.length;
    const isLast = message.at === bytes.length;
    if (isLast) this.#queue.shift();
    if (message.size > 0) this.#note(payload.length);
    return writeRecord(isLast ? kind : PART, /** @type {number} */ (this.id), payload);
  }

  /** W3C: `bufferedAmount` grows in the task that sends, and shrinks in a later one. */
  #note(size) {
    if (this.#sent === 0) nextTask(() => this.#shrink());
    this.#sent += size;
  }

  #shrink() {
    const before = this.bufferedAmount;
    this.bufferedAmount -= this.#sent;
    this.#sent = 0;
    if (this.state !== 'closed' && before > this.threshold && this.bufferedAmount <= this.threshold) this.tell(new Event('bufferedamountlow'));
  }

  /** Messages that wait are sent before the channel closes. */
  close() {
    if (this.state === 'closing' || this.state === 'closed') return;
    const isOpen = this.state === 'open';
    this.state = 'closing';
    // A page that closes it at once does not hear that it is open.
    this.#held = this.#held?.filter(({ type }) => type !== 'open');
    if (isOpen) this.#sayClose();
    else nextTask(() => this.ended());
  }

  #sayClose() {
    if (this.#hasSaidClose) return;
    this.#hasSaidClose = true;
    this.#queue.push({ kind: CLOSE, bytes: new Uint8Array(), at: 0, size: 0 });
    this.#wake(this);
  }

  /** A record of the other side. Returns true if it was the last one of both. */
  receive(kind, payload) {
    if (kind === CLOSE) {
      this.#hasHeardClose = true;
      if (this.state === 'open') {
        this.state = 'closing';
        this.tell(new Event('closing'));
        this.#sayClose();
      }
      return;
    }
    if (this.#hasHeardClose) throw new PipeError('a record came behind the close of its channel');
    if (kind === PART) {
      this.#parts ??= new Parts(this.#kept, MOST_MESSAGE);
      this.#parts.add(payload);
      return;
    }
    const bytes = this.#parts ? this.#parts.end(payload) : payload.slice();
    this.#parts = undefined;
    if (this.state === 'open') this.#deliver(kind === TEXT ? fromUtf8(bytes) : this.#binary(bytes), bytes.length);
  }

  #binary(bytes) {
    return this.binaryType === 'blob' ? new Blob([bytes]) : bytes.buffer;
  }

  #deliver(data, size) {
    this.counts.messagesReceived += 1;
    this.counts.bytesReceived += size;
    if (this.#held) {
      this.#heldBytes += COST + size;
      this.#kept.add(COST + size);
    }
    this.tell(new MessageEvent('message', { data }));
  }

  /** True once both sides have closed it: its number is free then. */
  get isOver() {
    return this.#hasHeardClose && this.#hasSaidClose && this.#queue.length === 0;
  }

  /** It ends: by an error if there is one, or by this page, which hears of it later. @param {{ error?: Error, isLater?: boolean }} how */
  ended({ error, isLater = false } = {}) {
    const end = () => {
      if (this.state === 'closed') return;
      this.#queue = [];
      this.#parts?.drop();
      this.#parts = undefined;
      if (this.state !== 'closing') {
        this.state = 'closing';
        this.tell(new Event('closing'));
      }
      this.state = 'closed';
      if (error) this.tell(new RtcErrorEvent('error', { error }));
      this.tell(new Event('close'));
    };
    if (isLater) nextTask(end);
    else end();
  }
}

/** All channels of a connection. `pipe` has `hasRoom` and `send(plain)`; `present(channel)` shows the page one of the other side. */
export class Channels {
  /** @type {Map<number, Channel>} */
  #byId = new Map();
  /** Channels without a number, because nobody knows yet which side made the offer. @type {Set<Channel>} */
  #unnumbered = new Set();
  /** Channels with records that wait, in turns. @type {Set<Channel>} */
  #waiting = new Set();
  #present;
  /** @type {{ hasRoom: boolean, send(plain: Uint8Array): void } | undefined} */
  #pipe;
  /** @type {0 | 1 | undefined} */
  #parity;
  counts = { opened: 0, closed: 0 };
  #kept = new Kept();
  /** What has come of the OPEN of a channel. @type {Map<number, Parts>} */
  #opening = new Map();

  constructor(present) {
    this.#present = present;
  }

  get all() {
    return [...this.#byId.values(), ...this.#unnumbered];
  }

  create(options) {
    const channel = new Channel(options, this.#wake, this.#kept);
    if (channel.id !== null && this.#byId.has(channel.id)) throw failure('OperationError', `The id ${channel.id} is in use`);
    if (channel.id === null) this.#unnumbered.add(channel);
    else this.#byId.set(channel.id, channel);
    if (this.#parity !== undefined) this.#number(channel);
    if (this.#pipe) nextTask(() => this.#open(channel));
    return channel;
  }

  /** RFC 8832, section 6: odd numbers are those of the DTLS server, and by default, the side that has offered is that. */
  setRole(isOfferer) {
    this.#parity = isOfferer ? 1 : 0;
    for (const channel of this.#unnumbered) this.#number(channel);
  }

  #number(channel) {
    if (channel.id !== null) return;
    let id = /** @type {number} */ (this.#parity);
    while (this.#byId.has(id)) id += 2;
    if (id >= NUMBERS) throw failure('OperationError', 'All ids of channels are in use');
    channel.id = id;
    this.#unnumbered.delete(channel);
    this.#byId.set(id, channel);
  }

  connected(pipe) {
    this.#pipe = pipe;
    for (const channel of this.all) this.#open(channel);
    this.pump();
  }

  #open(channel) {
    if (channel.state !== 'connecting') return;
    this.counts.opened += 1;
    channel.open();
  }

  #wake = (channel) => {
    this.#waiting.add(channel);
    this.pump();
  };

  /** Sends while there is room, one record of each channel in turn. */
  pump() {
    while (this.#pipe?.hasRoom && this.#waiting.size > 0) {
      const [channel] = this.#waiting;
      this.#waiting.delete(channel);
      if (!channel.hasWaiting) continue;
      const plain = channel.take();
      if (channel.hasWaiting) this.#waiting.add(channel);
      this.#pipe.send(plain);
      this.#forgetIfOver(channel);
    }
  }

  receive({ kind, channel: id, payload }) {
    if (kind < OPEN || kind > CLOSE || kind === 2) throw new PipeError(`a record of kind ${kind} is none of a channel`);
    const channel = this.#byId.get(id);
    if (kind === OPEN || this.#opening.has(id) || (kind === PART && !channel && id % 2 !== this.#parity)) this.#hearOpen(kind, id, payload);
    else if (channel) {
      channel.receive(kind, payload);
      this.#forgetIfOver(channel);
    }
    // Native WebRTC drops messages for a negotiated channel that this page has not made, too.
  }

  #hearOpen(kind, id, payload) {
    if (this.#byId.has(id) || id === NUMBERS) throw new PipeError(`channel ${id} is opened twice`);
    const parts = this.#opening.get(id) ?? new Parts(this.#kept, MOST_OPEN);
    if (kind === PART) {
      this.#opening.set(id, parts);
      parts.add(payload);
      return;
    }
    this.#opening.delete(id);
    const bytes = parts.end(payload);
    if (kind !== OPEN) return;
    const options = readOpen(bytes, id);
    const channel = new Channel(options, this.#wake, this.#kept);
    channel.cost = CHANNEL_COST + 2 * bytes.length;
    this.#kept.add(channel.cost);
    this.#byId.set(id, channel);
    this.counts.opened += 1;
    channel.arrive(() => this.#present(channel));
  }

  #forgetIfOver(channel) {
    if (!channel.isOver || this.#byId.get(channel.id) !== channel) return;
    this.#byId.delete(channel.id);
    this.#kept.remove(channel.cost);
    this.counts.closed += 1;
    channel.ended();
  }

  /**
   * The connection is over: by an error, by the other side, or by this page, which hears of it later.
   * @param {{ error?: Error, isLater?: boolean }} how
   */
  end({ error, isLater = false } = {}) {
    this.#pipe = undefined;
    for (const channel of this.all) {
      if (channel.state !== 'closed') this.counts.closed += 1;
      channel.ended({ error, isLater });
    }
    this.#byId.clear();
    this.#opening.clear();
    this.#unnumbered.clear();
    this.#waiting.clear();
  }
}

function readOpen(bytes, id) {
  try {
    const { label, ...options } = JSON.parse(fromUtf8(bytes));
    return { ...readOptions(label, { ...options, negotiated: false }), id };
  } catch (error) {
    throw new PipeError(`channel ${id} is opened with what is no description of a channel: ${error.message}`);
  }
}
