// A connection whose data goes over the broker: states and events as browsers order them. Its object in the page is `target`.

import { random, toBase64Url, fromUtf8, toUtf8 } from './bytes.js';
import { readOptions } from './channel-options.js';
import { Channels, MOST_MESSAGE } from './channels.js';
import { present } from './data-channel.js';
import { DataChannelEvent, IceEvent, RtcError, nextTask } from './events.js';
import { DECISION, END, readRecord, writeRecord } from './frames.js';
import { currentKeys } from './prepared-keys.js';
import { deriveKeys } from './sealing.js';
import { readLine, writeLine } from './sdp-line.js';
import { LEFT, Pipe } from './pipe.js';
import { Signalling } from './signalling.js';
import { statsOf } from './stats.js';

// In milliseconds. Browsers say `disconnected` after about five seconds, and `failed` some time later.
const DISCONNECTED = 5_000;
const FAILED = 10_000;

/** RFC 9260, section 3.3.10.12, with the text of Chromium. */
const ABORT = { errorDetail: 'sctp-failure', sctpCauseCode: 12 };
const ABORTED = 'User-Initiated Abort, reason=Close called';

const failure = (name, message) => new DOMException(message, name);
const warn = (message) => console.warn(`webrtc.js: ${message}`);

/** Sessions that say so when their page goes away, as native connections do. @type {Set<Session>} */
const leaving = new Set();
globalThis.addEventListener?.('pagehide', () => {
  for (const session of leaving) session.close();
});

/** The part of a connection that decides between two ways. @typedef {{ opened(): void, heard(word: string): void, ended(): void }} Decision */

export class Session {
  iceConnectionState = 'new';
  connectionState = 'new';
  iceGatheringState = 'new';
  isClosed = false;
  #target;
  #settings;
  #isOnly;
  #id;
  /** Which of the two ends the sockets of this connection are, from the first one on. */
  #end = '';
  #pair;
  /** The line of the other side, with the role of this one. @type {{ isOfferer: boolean, id: Uint8Array, key: Uint8Array, isOnly: boolean } | undefined} */
  #other;
  /** @type {Pipe | undefined} */
  #pipe;
  #timer = 0;
  #steps = Promise.resolve();
  #isNegotiationSeen = false;

  /** @param {EventTarget} target @param {any} own the id and the pair of keys that descriptions of native WebRTC had */
  constructor(target, settings, isOnly, own = {}) {
    const { id = random(16), pair } = own;
    this.#target = target;
    this.#id = id;
    this.#pair = pair;
    // Later ones may be of another Peer.
    this.#settings = { ...settings };
    this.#isOnly = isOnly;
    const Description = globalThis.RTCSessionDescription;
    this.signalling = new Signalling(() => this.line, Description);
    this.channels = new Channels((channel) => {
      this.#tell(new DataChannelEvent('datachannel', { channel: present(channel) }));
    });
  }

  /** Made for the first description: pages that only look for WebRTC need no keys. */
  get line() {
    this.#pair ??= currentKeys();
    return writeLine({ id: this.#id, key: this.#pair.key, isOnly: this.#isOnly });
  }

  /** The public keys of both ends, this one first, for the safety number. */
  get publicKeys() {
    return this.#other && this.#pair && [this.#pair.key, this.#other.key];
  }

  get isOfferer() {
    return this.#other?.isOfferer;
  }

  get sctp() {
    return this.#other ? { maxMessageSize: MOST_MESSAGE, maxChannels: 65_535, state: this.isConnected ? 'connected' : 'connecting' } : null;
  }

  get isConnected() {
    return this.connectionState === 'connected' || this.connectionState === 'disconnected';
  }

  #tell(event) {
    this.#target.dispatchEvent(event);
  }

  /** Events of states that have changed, ICE first. */
  setState(ice, connection) {
    if (this.isClosed) return;
    const hasIce = this.iceConnectionState !== ice;
    const hasConnection = this.connectionState !== connection;
    this.iceConnectionState = ice;
    this.connectionState = connection;
    if (hasIce) this.#tell(new Event('iceconnectionstatechange'));
    if (hasConnection && !this.isClosed) this.#tell(new Event('connectionstatechange'));
  }

  // Descriptions

  /** One step after another, as W3C's chain of operations. A connection that is closed meanwhile never answers. */
  #step(run) {
    if (this.isClosed) return Promise.reject(failure('InvalidStateError', 'The connection is closed'));
    const step = this.#steps.then(() => (this.isClosed ? new Promise(() => {}) : run()));
    this.#steps = step.then(() => {}, () => {});
    return step;
  }

  createOffer(options) {
    return this.#step(() => this.signalling.createOffer(options ?? {}));
  }

  createAnswer() {
    return this.#step(() => this.signalling.createAnswer());
  }

  setLocal(init) {
    return this.#step(() => this.#change(() => this.signalling.setLocal(init), () => this.#gather()));
  }

  setRemote(init) {
    return this.#step(() => this.#change(() => this.signalling.setRemote(init)));
  }

  #change(change, andThen = () => {}) {
    const before = this.signalling.state;
    change();
    if (this.signalling.state !== before) this.#tell(new Event('signalingstatechange'));
    if (this.isClosed) return;
    andThen();
    if (this.signalling.state !== 'stable') return;
    this.#agree();
    this.#isNegotiationSeen = false;
    this.needNegotiation();
  }

  needNegotiation() {
    if (!this.signalling.isBehind || this.#isNegotiationSeen) return;
    this.#isNegotiationSeen = true;
    nextTask(() => {
      if (this.isClosed || this.signalling.state !== 'stable' || !this.signalling.isBehind) return;
      this.#tell(new Event('negotiationneeded'));
    });
  }

  /** There is nothing to gather, but libraries wait for its end. */
  #gather() {
    if (this.iceGatheringState === 'complete' || !/^m=/m.test(this.signalling.local?.sdp ?? '')) return;
    nextTask(() => {
      this.#setGathering('gathering');
      nextTask(() => {
        this.#setGathering('complete');
        if (!this.isClosed) this.#tell(new IceEvent('icecandidate'));
      });
    });
  }

  #setGathering(state) {
    if (this.isClosed || this.iceGatheringState === state) return;
    this.iceGatheringState = state;
    this.#tell(new Event('icegatheringstatechange'));
  }

  /** @param {any} candidate */
  addIceCandidate(candidate) {
    const isEnd = !candidate || candidate.candidate === '';
    if (!isEnd && (candidate.sdpMid ?? null) === null && (candidate.sdpMLineIndex ?? null) === null) {
      return Promise.reject(new TypeError('A candidate needs sdpMid or sdpMLineIndex'));
    }
    return this.#step(() => {
      if (!this.signalling.remote) throw failure('InvalidStateError', 'There is no remote description');
    });
  }

  restartIce() {
    this.signalling.restart();
    this.needNegotiation();
  }

  /** Goes on where native WebRTC has been given up. */
  takeOver({ ice, connection, gathering }, descriptions) {
    this.iceConnectionState = ice;
    this.connectionState = connection;
    this.iceGatheringState = gathering;
    this.signalling.takeOver(descriptions);
    if (this.signalling.local) this.#gather();
  }

  // The way

  /** The descriptions of both sides are there. */
  #agree() {
    const { current, hasData } = this.signalling;
    if (this.#other || !hasData) return;
    const isOfferer = current.local.type === 'offer';
    const line = readLine(current.remote.sdp);
    // Channels have their numbers when the page hears that the descriptions are set.
    if (line) this.agree(line, isOfferer);
    nextTask(() => {
      this.setState('checking', 'connecting');
      if (!line) {
        this.#lose(new Error('this browser has no WebRTC, and the other page has no webrtc.js: both pages need webrtc.js'));
        return;
      }
      this.start();
    });
  }

  /** @param {{ id: Uint8Array, key: Uint8Array, isOnly: boolean }} line of the other side */
  agree(line, isOfferer) {
    if (this.#other || this.isClosed) return;
    this.#other = { ...line, isOfferer };
    this.channels.setRole(isOfferer);
  }

  /** Opens the pipe. Without a decision to make, data goes over it as soon as both have proved their keys. @param {Decision} [decision] */
  start(decision) {
    if (this.#pipe || this.isClosed) return;
    let keys;
    try {
      keys = this.#keys();
    } catch (error) {
      this.#lose(error);
      return;
    }
    this.#pipe = new Pipe(() => this.#url(), keys, {
      // A record with its seal is the proof.
      opened: () => (decision ? decision.opened() : this.say('pipe')),
      lost: () => this.#lost(),
      back: () => this.#back(),
      room: () => this.channels.pump(),
      heard: (plain) => {
        const record = readRecord(plain);
        if (!decision && !this.isConnected) this.connect();
        this.#hear(record, decision);
      },
      ended: ({ code, message }) => {
        this.#pipe = undefined;
        if (this.isConnected || !decision) {
          this.#lose(new Error(message));
          return;
        }
        // A page whose native WebRTC has won leaves.
        if (code !== LEFT) warn(message);
        decision.ended();
      },
    });
  }

  #keys() {
    const own = { id: this.#id, key: this.#pair.key };
    const other = /** @type {any} */ (this.#other);
    const [offer, answer] = other.isOfferer ? [own, other] : [other, own];
    const { offerer, answerer } = deriveKeys(this.#pair.secret, other.key, offer, answer);
    return other.isOfferer ? { send: offerer, receive: answerer } : { send: answerer, receive: offerer };
  }

  async #url() {
    const { broker, key, peer, token } = this.#settings;
    const other = /** @type {any} */ (this.#other);
    const url = new URL(`pipe/${toBase64Url(other.isOfferer ? this.#id : other.id)}`, broker);
    url.protocol = url.protocol.replace('http', 'ws');
    url.searchParams.set('key', key);
    this.#end ||= toBase64Url(random(16));
    url.searchParams.set('end', this.#end);
    const proof = typeof token === 'function' ? await token() : token;
    if (proof) url.searchParams.set('token', proof);
    if (proof && peer) url.searchParams.set('peer', peer);
    return url.href;
  }

  say(word) {
    this.#pipe?.send(writeRecord(DECISION, 0, toUtf8(word)));
  }

  /** Native WebRTC has won, or nobody needs the pipe. */
  leave() {
    this.#pipe?.close();
    this.#pipe = undefined;
  }

  /** Data goes over the pipe from now on. */
  connect() {
    this.setState('connected', 'connected');
    if (this.isClosed) return;
    leaving.add(this);
    this.#tell(new Event('pipe'));
    if (this.#pipe) this.channels.connected(this.#pipe);
  }

  #hear(record, decision) {
    if (record.kind === DECISION) decision?.heard(fromUtf8(record.payload));
    else if (record.kind === END) this.#ended();
    else this.channels.receive(record);
  }

  #lost() {
    if (!this.isConnected) return;
    this.#timer = Number(setTimeout(() => this.setState('disconnected', 'disconnected'), DISCONNECTED));
  }

  #back() {
    clearTimeout(this.#timer);
    if (this.isConnected) this.setState('connected', 'connected');
  }

  /** The other side has closed its connection: channels end first, as in browsers. */
  #ended() {
    this.#finish();
    this.leave();
    this.channels.end({ error: new RtcError(ABORT, ABORTED) });
    this.setState('disconnected', 'disconnected');
    this.#timer = Number(setTimeout(() => this.setState('failed', 'failed'), FAILED));
  }

  /** The state comes first, as in browsers: libraries listen to nothing more once a channel has closed. */
  #lose(error) {
    this.#finish();
    warn(error.message);
    this.setState('failed', 'failed');
    this.channels.end({ error: new RtcError({ errorDetail: 'data-channel-failure' }, error.message) });
  }

  /** Nothing of it waits any more. */
  #finish() {
    leaving.delete(this);
    clearTimeout(this.#timer);
  }

  createDataChannel(label, options) {
    if (this.isClosed) throw failure('InvalidStateError', 'The connection is closed');
    const channel = this.channels.create(readOptions(label, options));
    this.signalling.wantsData = true;
    this.needNegotiation();
    return present(channel);
  }

  close() {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#finish();
    if (this.isConnected && this.#pipe) this.#pipe.send(writeRecord(END, 0));
    this.leave();
    this.signalling.state = 'closed';
    this.iceConnectionState = 'closed';
    this.connectionState = 'closed';
    this.channels.end({ isLater: true });
  }

  /** @returns {Map<string, any>} */
  getStats() {
    return statsOf({ channels: this.channels, broker: this.#settings.broker, isConnected: this.isConnected, isOfferer: this.isOfferer });
  }
}
