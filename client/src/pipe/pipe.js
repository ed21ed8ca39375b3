// One end of a pipe: a WebSocket at the broker that comes back when it is lost, with every record once and in order.

import { NEXT, PING, RECORD, nextFrame, readFrame } from './frames.js';
import { Receiver, Sender } from './ordered-records.js';
import { askWhy } from './refusal.js';

// In milliseconds: the other end may be away for this long; an acknowledgement may wait; an idle pipe is tried; its answer may take.
const AWAY = 30_000;
const ACKNOWLEDGE = 100;
const TRY = 10_000;
const ANSWER = 5_000;

/** A socket may take this long to open. In a cluster, the broker waits up to 12 s for the lease of a dead node to end. */
const OPENING = 15_000;

/** Then nothing has come of both ends. The broker, which waits 30 s for the other one, says what it waits for. */
const SILENCE = 40_000;

/** Bytes of records before an acknowledgement. */
const ACKNOWLEDGE_BYTES = 65_536;

/** Pauses before attempts, in milliseconds; the last one is repeated. */
const PAUSES = [0, 100, 300, 1000, 2000];

/** Close codes after which this end comes back: the server or the network is gone, or a limit is reached. Without a code, it was silent. */
const PASSING = new Set([1001, 1005, 1006, 1011, 1012, 1013, 1014]);

/** The other end has left, or was away for too long. */
export const LEFT = 4011;

/** What the page hears of other close codes. */
const ENDINGS = {
  4010: () => 'the other page did not come to the broker: both pages need webrtc.js, of the same broker and with the same key',
  [LEFT]: () => 'the other page has left, or was away for too long',
  4012: () => 'one of the two pages read nothing for 30 s, so the broker gave their data up',
  4014: (reason) => `the broker does not carry the data of this page: ${reason}. Its operator reads in its log what to change`,
};

/** @typedef {{ opened(): void, lost(): void, back(): void, room(): void, heard(plain: Uint8Array): void, ended(why: { code?: number, message: string }): void }} Events */

export class Pipe {
  #urlOf;
  #events;
  #sender;
  #receiver;
  /** @type {WebSocket | undefined} */
  #socket;
  /** The number of the broker's latest OPEN. @type {number | undefined} */
  #turn;
  /** True from the other end's NEXT of this turn. What comes before was sent to a socket that is gone. */
  #isSynced = false;
  #hasOpened = false;
  #isEnded = false;
  #lostAt = Date.now();
  #attempts = 0;
  /** Sockets so far, of which only the last one counts. */
  #dialled = 0;
  /** True until a socket has opened, or the page has asked for the reason. */
  #isUnknown = true;
  #unacknowledged = 0;
  #hasHeard = false;
  #timers = { retry: 0, acknowledge: 0, alive: 0 };

  /**
   * @param {() => string | Promise<string>} urlOf
   * @param {{ send: Uint8Array, receive: Uint8Array }} keys
   * @param {Events} events
   */
  constructor(urlOf, keys, events) {
    this.#urlOf = urlOf;
    this.#events = events;
    this.#sender = new Sender(keys.send);
    this.#receiver = new Receiver(keys.receive);
    globalThis.addEventListener?.('online', this.#tryNow);
    this.#connect();
  }

  get hasRoom() {
    return !this.#isEnded && this.#sender.hasRoom;
  }

  /** Sends a record, or keeps it until both ends are there. */
  send(plain) {
    const frame = this.#sender.seal(plain);
    if (this.#isSynced) this.#write(frame);
  }

  /** Leaves for good. */
  close() {
    this.#end(undefined);
  }

  async #connect() {
    this.#dialled += 1;
    const dialled = this.#dialled;
    // The page's token may never come, either.
    this.#replaceAfter(OPENING);
    let url;
    try {
      url = await this.#urlOf();
    } catch (error) {
      this.#end({ message: error.message });
    }
    if (this.#isEnded || this.#dialled !== dialled) return;
    const socket = new WebSocket(/** @type {string} */ (url));
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => this.#socket === socket && this.#reached();
    socket.onmessage = ({ data }) => this.#socket === socket && this.#hear(data);
    socket.onclose = (event) => this.#socket === socket && this.#closed(event, url);
    this.#socket = socket;
  }

  #reached() {
    this.#isUnknown = false;
    this.#replaceAfter(SILENCE);
  }

  #replaceAfter(wait) {
    clearTimeout(this.#timers.alive);
    this.#timers.alive = Number(setTimeout(() => this.#replace(), wait));
  }

  #write(frame) {
    // One that closes says so later. Until then browsers would complain about each frame; records are kept anyway.
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(frame);
  }

  #hear(data) {
    this.#hasHeard = true;
    try {
      if (typeof data === 'string') this.#hearBroker(JSON.parse(data));
      else this.#hearOther(readFrame(new Uint8Array(data)));
    } catch (error) {
      this.#end({ message: error.message });
    }
  }

  #hearBroker({ type, turn = 0 }) {
    this.#unsync();
    this.#replaceAfter(SILENCE);
    if (type !== 'OPEN') return;
    this.#turn = turn;
    this.#sayNext(NEXT);
  }

  #hearOther(frame) {
    if (frame.type === RECORD) {
      if (this.#isSynced) this.#take(frame);
      return;
    }
    if (frame.turn !== this.#turn) return;
    this.#sender.acknowledge(frame.next);
    if (!this.#isSynced) this.#sync();
    // An end that does not read its answers gets no more of them.
    if (frame.type === PING && (this.#socket?.bufferedAmount ?? 0) < ACKNOWLEDGE_BYTES) this.#sayNext(NEXT);
    this.#events.room();
  }

  #sync() {
    this.#isSynced = true;
    this.#attempts = 0;
    for (const frame of this.#sender.unacknowledged) this.#write(frame);
    this.#watch();
    const isFirst = !this.#hasOpened;
    this.#hasOpened = true;
    if (isFirst) this.#events.opened();
    else this.#events.back();
  }

  #unsync() {
    clearTimeout(this.#timers.alive);
    clearTimeout(this.#timers.acknowledge);
    this.#timers.acknowledge = 0;
    this.#turn = undefined;
    if (!this.#isSynced) return;
    this.#isSynced = false;
    this.#lostAt = Date.now();
    this.#events.lost();
  }

  #take(frame) {
    const plain = this.#receiver.open(frame);
    this.#unacknowledged += frame.sealed.length;
    if (this.#unacknowledged >= ACKNOWLEDGE_BYTES) this.#sayNext(NEXT);
    else if (!this.#timers.acknowledge) this.#timers.acknowledge = Number(setTimeout(() => this.#sayNext(NEXT), ACKNOWLEDGE));
    this.#events.heard(plain);
  }

  #sayNext(type) {
    clearTimeout(this.#timers.acknowledge);
    this.#timers.acknowledge = 0;
    this.#unacknowledged = 0;
    if (this.#turn !== undefined) this.#write(nextFrame(type, this.#turn, this.#receiver.next));
  }

  /** A socket whose network is gone says nothing. The other end answers a PING even in a page whose timers sleep. */
  #watch(wait = TRY) {
    clearTimeout(this.#timers.alive);
    this.#hasHeard = false;
    this.#timers.alive = Number(setTimeout(() => {
      if (this.#hasHeard) this.#watch();
      else this.#try();
    }, wait));
  }

  #try() {
    this.#sayNext(PING);
    this.#timers.alive = Number(setTimeout(() => {
      if (this.#hasHeard) this.#watch();
      else this.#replace();
    }, ANSWER));
  }

  /** The page is online again, maybe in another network. */
  #tryNow = () => {
    if (this.#isSynced) this.#watch(0);
    else this.#replace();
  };

  #replace() {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#unsync();
    socket?.close();
    this.#retry();
  }

  #closed({ code, reason }, url) {
    this.#socket = undefined;
    this.#unsync();
    if (!PASSING.has(code)) this.#end({ code, message: ENDINGS[code]?.(reason) ?? `the broker closed the connection: ${reason || code}` });
    else if (this.#isUnknown) this.#askWhy(url);
    else this.#retry(reason);
  }

  /** The first socket did not open. Once is enough: a broker that has answered is there. */
  async #askWhy(url) {
    this.#isUnknown = false;
    const dialled = this.#dialled;
    const { final, wait } = await askWhy(url);
    if (this.#isEnded || this.#dialled !== dialled) return;
    if (final) this.#end({ message: final });
    else if (wait > AWAY) this.#end({ message: `the broker is busy, and takes this page in ${wait / 1000} s at the earliest` });
    else this.#retry('', wait);
  }

  #retry(reason = '', wait = 0) {
    clearTimeout(this.#timers.retry);
    if (this.#isEnded) return;
    if (Date.now() - this.#lostAt > AWAY) {
      this.#end({ message: `the broker took no data for ${AWAY / 1000} s: ${reason || 'is it reachable, and a peerbroker with pipes?'}` });
      return;
    }
    const pause = Math.max(wait, PAUSES[Math.min(this.#attempts, PAUSES.length - 1)]);
    this.#attempts += 1;
    this.#timers.retry = Number(setTimeout(() => this.#connect(), pause));
  }

  #end(why) {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#isSynced = false;
    globalThis.removeEventListener?.('online', this.#tryNow);
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    const socket = this.#socket;
    this.#socket = undefined;
    // A socket that closes while it connects says no code, and the other end would wait for this one.
    if (socket?.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close(1000);
    else socket?.close(1000);
    if (why) this.#events.ended(why);
  }
}
