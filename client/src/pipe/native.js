// RTCPeerConnection where the browser has one: native first. If it finds no path, and the other page has this script, both pages agree
// over a pipe to give native WebRTC up. The connection and the channels that the page has made stay, and go over the pipe.

import { random } from './bytes.js';
import { COST, MOST_KEPT, readOptions } from './channel-options.js';
import { EVENTS, addHandlers, answerOldPages } from './events.js';
import { currentKeys, firstKeys } from './prepared-keys.js';
import { PIPE_KEYS, readLine, withLine, withoutLine, writeLine } from './sdp-line.js';
import { hasData, hasMedia } from './sdp.js';

/** Native WebRTC has so many milliseconds until this page asks over a pipe. */
const NATIVE_FIRST = 5_000;

/** Both pages have so many milliseconds to agree, once both are at the pipe. */
const DECISION = 30_000;

const STATES = ['connectionstatechange', 'iceconnectionstatechange'];
/** Events that say how native WebRTC gets on. */
const PROGRESS = [...STATES, 'datachannel'];
const CHANNEL_EVENTS = ['open', 'message', 'bufferedamountlow', 'error', 'closing', 'close'];
/** Listeners that are called before the page's. */
const FIRST = { capture: true };
const { addEventListener, removeEventListener } = EventTarget.prototype;

const isBad = (state) => state === 'failed' || state === 'disconnected';

/** An event of the browser, which can be dispatched again only as a copy. */
function copyOf(event) {
  if (event.type === 'message') return new MessageEvent('message', { data: event.data });
  return Object.assign(new Event(event.type), event.error && { error: event.error });
}

/**
 * @param {typeof RTCPeerConnection} Native
 * @param {{ broker: string, key: string, token?: any }} settings
 * @param {import('./enable.js').Source} source
 * @param {(event: Event) => boolean} isNative true if the browser has dispatched the event, and not this script
 */
export function makeNativeFirst(Native, settings, source, isNative = ({ isTrusted }) => isTrusted) {
  class RTCPeerConnection extends Native {
    /** Made when the pipe is needed. */
    #session;
    // Later ones may be of another Peer.
    #settings = { ...settings };
    /** What its line says. Without a pair it has none. @type {{ id: Uint8Array, pair?: import('./prepared-keys.js').Pair | null }} */
    #own = { id: random(16) };
    /**
     * `native` may still become another; `asking`: this page has asked the other, and the page hears nothing of native WebRTC until
     * the answer; `won` and `pipe` are for ever.
     * @type {'native' | 'asking' | 'won' | 'pipe'}
     */
    #mode = 'native';
    /** True if a pipe may come: then the page does not hear that native WebRTC has failed. */
    #hasHope = false;
    #remoteLine;
    #lastAnswer = '';
    /** The line of the other page when both had data, and the role of this one. */
    #agreed;
    #isOfferer = false;
    #shown = { connection: 'new', ice: 'new' };
    /** True if the page has not heard of a state. */
    #isBehind = false;
    /** Native channels; true if the page has made it. @type {Map<RTCDataChannel, boolean>} */
    #channels = new Map();
    /** What the page hears if native WebRTC wins. @type {(() => void)[]} */
    #held = [];
    #heldBytes = 0;
    #timer = 0;

    /** @param {any[]} given */
    constructor(...given) {
      super(...given);
      this.#listen(PROGRESS);
    }

    #listen(types) {
      for (const type of types) addEventListener.call(this, type, this.#trap, FIRST);
    }

    // What native WebRTC says. These listeners are the first ones, so they can keep events from the page.

    #trap = (event) => {
      if (!isNative(event)) return;
      if (this.#mode === 'pipe') event.stopImmediatePropagation();
      else if (event.type === 'datachannel') this.#hearChannel(event);
      else if (STATES.includes(event.type)) this.#hearState(event);
    };

    get #nativeStates() {
      return [super.connectionState, super.iceConnectionState];
    }

    #hearState(event) {
      const states = this.#nativeStates;
      // Firefox without candidates has failed before the other description says whether a pipe may come.
      if (this.#mode === 'native' && !(states.some(isBad) && (this.#hasHope || !super.remoteDescription))) {
        this.#show();
        return;
      }
      event.stopImmediatePropagation();
      this.#isBehind = true;
      if (states.includes('failed')) this.#openPipe();
    }

    #show() {
      this.#shown = { connection: super.connectionState, ice: super.iceConnectionState };
    }

    /** Tells the page what it has not heard of the states. */
    #catchUp() {
      if (!this.#isBehind) return;
      const { connection, ice } = this.#shown;
      this.#show();
      if (ice !== this.#shown.ice) this.dispatchEvent(new Event('iceconnectionstatechange'));
      if (connection !== this.#shown.connection) this.dispatchEvent(new Event('connectionstatechange'));
    }

    #hearChannel(event) {
      if (this.#mode !== 'asking') {
        this.#win();
        return;
      }
      event.stopImmediatePropagation();
      const { channel } = event;
      this.#watch(channel, false);
      this.#hold(() => this.dispatchEvent(new RTCDataChannelEvent('datachannel', { channel })));
    }

    #hold(tell, size = 0) {
      this.#held.push(tell);
      this.#heldBytes += COST + size;
      // So much comes only over a way that works.
      if (this.#heldBytes > MOST_KEPT) this.#win();
    }

    /** Until native WebRTC wins, the page sees a channel that connects. */
    #watch(channel, isOwn) {
      this.#channels.set(channel, isOwn);
      for (const type of CHANNEL_EVENTS) addEventListener.call(channel, type, this.#trapChannel, FIRST);
      const close = () => {
        this.#unwatch(channel);
        this.#channels.delete(channel);
        channel.close();
      };
      Object.defineProperties(channel, { readyState: { value: 'connecting', configurable: true }, close: { value: close, configurable: true } });
    }

    #unwatch(channel) {
      for (const type of CHANNEL_EVENTS) removeEventListener.call(channel, type, this.#trapChannel, FIRST);
      Reflect.deleteProperty(channel, 'readyState');
      Reflect.deleteProperty(channel, 'close');
    }

    #trapChannel = (event) => {
      if (!isNative(event)) return;
      if (this.#mode === 'native' && event.type === 'open') {
        this.#win();
        return;
      }
      event.stopImmediatePropagation();
      if (this.#isPipe) return;
      const channel = event.target;
      const { length, byteLength = 2 * length, size = byteLength } = event.data ?? '';
      this.#hold(() => channel.dispatchEvent(copyOf(event)), size);
    };

    // The decision

    /** Looks after each description for what both sides have. Browsers are slow to tell theirs. */
    #check(description, isOfferer) {
      if (super.signalingState !== 'stable') return;
      if (description.type !== 'rollback') this.#lastAnswer = description.sdp;
      if (this.#mode !== 'native' || this.#hasHope) return;
      if (!hasData(this.#lastAnswer)) {
        this.#catchUp();
        return;
      }
      if (!this.#remoteLine || !this.#own.pair || this.#hasMedia) {
        this.#win();
        return;
      }
      this.#hasHope = true;
      this.#isOfferer = isOfferer;
      this.#agreed = this.#remoteLine;
      if (this.#nativeStates.includes('failed')) this.#openPipe();
      else this.#timer = Number(setTimeout(() => this.#openPipe(), NATIVE_FIRST));
    }

    /** Sound and pictures stay where they are, and so does the data beside them. */
    get #hasMedia() {
      return hasMedia(this.#lastAnswer) || super.getSenders().some(({ track }) => track);
    }

    #openPipe() {
      clearTimeout(this.#timer);
      if (this.#mode !== 'native' || !this.#hasHope) return;
      if (this.#hasMedia) this.#win();
      else if (source.now) this.#startPipe();
      else source.load().then(() => this.#startPipe(), () => this.#win());
    }

    #startPipe() {
      if (this.#mode !== 'native' || super.signalingState === 'closed') return;
      this.#makeSession();
      this.#session.agree(this.#agreed, this.#isOfferer);
      this.#session.start({
        opened: () => {
          this.#timer = Number(setTimeout(() => this.#win(), DECISION));
          if (this.#isOfferer) this.#ask();
        },
        heard: (word) => this.#hearWord(word),
        // A question without an answer is answered by that: a page that gives native WebRTC up says so.
        ended: () => this.#win(),
      });
    }

    #makeSession() {
      const { Session } = /** @type {import('./enable.js').Engine} */ (source.now);
      this.#session ??= new Session(this, this.#settings, false, { id: this.#own.id, pair: this.#own.pair ?? undefined });
    }

    #ask() {
      this.#mode = 'asking';
      this.#session.say('ask');
    }

    #hearWord(word) {
      const isAnswer = this.#mode === 'asking';
      const isQuestion = this.#mode === 'native' && !this.#isOfferer;
      if ((word === 'native' && (isAnswer || isQuestion)) || (isQuestion && this.#hasMedia)) {
        this.#win();
      } else if ((word === 'pipe' && isAnswer) || (word === 'ask' && isQuestion)) {
        this.#giveUp();
        if (isQuestion) this.#session.say('pipe');
        this.#session.connect();
      }
    }

    /** Native WebRTC carries the data, or nothing can: this script does nothing more. */
    #win() {
      if (this.#mode === 'native' && this.#isOfferer) this.#session?.say('native');
      this.#session?.leave();
      const held = this.#held;
      this.#letGo();
      this.#catchUp();
      for (const tell of held) tell();
    }

    /** From now on the page hears of native WebRTC itself. */
    #letGo() {
      this.#mode = 'won';
      clearTimeout(this.#timer);
      for (const type of PROGRESS) removeEventListener.call(this, type, this.#trap, FIRST);
      for (const channel of this.#channels.keys()) this.#unwatch(channel);
      this.#channels.clear();
      this.#held = [];
    }

    #giveUp() {
      const states = { ice: this.#shown.ice, connection: this.#shown.connection, gathering: super.iceGatheringState };
      const descriptions = {
        signalingState: super.signalingState,
        currentLocalDescription: this.currentLocalDescription,
        currentRemoteDescription: super.currentRemoteDescription,
        pendingLocalDescription: this.pendingLocalDescription,
        pendingRemoteDescription: super.pendingRemoteDescription,
      };
      this.#makeSession();
      this.#mode = 'pipe';
      clearTimeout(this.#timer);
      this.#held = [];
      for (const [channel, isOwn] of this.#channels) if (isOwn) this.#moveChannel(channel);
      this.#channels.clear();
      this.#listen(EVENTS);
      super.close();
      this.#session.takeOver(states, descriptions);
    }

    /** The page knows only of its own ones. */
    #moveChannel(channel) {
      source.now?.adopt(channel, this.#session.channels.create(readOptions(channel.label, channel)));
      this.#session.signalling.wantsData = true;
    }

    // What the page asks

    get #isPipe() {
      return this.#mode === 'pipe';
    }

    get #isHidden() {
      return (this.#mode === 'native' || this.#mode === 'asking') && super.signalingState !== 'closed';
    }

    /** A description with this page's line. @param {any} description */
    #described(description) {
      const { id, pair } = this.#own;
      if (!description || !pair) return description;
      return new RTCSessionDescription({ type: description.type, sdp: withLine(description.sdp, writeLine({ id, key: pair.key, isOnly: false })) });
    }

    /** The first description waits for the first pair, or never has a line. */
    async #describe(making) {
      const description = await making;
      if (this.#own.pair === undefined) {
        if (!currentKeys()) await firstKeys();
        this.#own.pair ??= currentKeys() ?? null;
      }
      return this.#described(description);
    }

    get signalingState() { return this.#isPipe ? /** @type {any} */ (this.#session.signalling.state) : super.signalingState; }
    get iceGatheringState() { return this.#isPipe ? /** @type {any} */ (this.#session.iceGatheringState) : super.iceGatheringState; }

    get iceConnectionState() {
      if (this.#isPipe) return /** @type {any} */ (this.#session.iceConnectionState);
      return this.#isHidden ? /** @type {any} */ (this.#shown.ice) : super.iceConnectionState;
    }

    get connectionState() {
      if (this.#isPipe) return /** @type {any} */ (this.#session.connectionState);
      return this.#isHidden ? /** @type {any} */ (this.#shown.connection) : super.connectionState;
    }

    get localDescription() { return this.#isPipe ? this.#session.signalling.local : this.#described(super.localDescription); }
    get remoteDescription() { return this.#isPipe ? this.#session.signalling.remote : super.remoteDescription; }
    get currentLocalDescription() { return this.#isPipe ? this.#session.signalling.current.local : this.#described(super.currentLocalDescription); }
    get currentRemoteDescription() { return this.#isPipe ? this.#session.signalling.current.remote : super.currentRemoteDescription; }
    get pendingLocalDescription() { return this.#isPipe ? this.#session.signalling.pending.local : this.#described(super.pendingLocalDescription); }
    get pendingRemoteDescription() { return this.#isPipe ? this.#session.signalling.pending.remote : super.pendingRemoteDescription; }
    get sctp() { return this.#isPipe ? /** @type {any} */ (this.#session.sctp) : super.sctp; }

    /** @param {any[]} given @returns {any} */
    createOffer(...given) {
      const isOld = typeof given[0] === 'function';
      const options = isOld ? given[2] : given[0];
      const make = async () => (this.#isPipe ? this.#session.createOffer(options) : this.#describe(super.createOffer(options)));
      return answerOldPages(make(), given[0], given[1]);
    }

    /** @param {any[]} given @returns {any} */
    createAnswer(...given) {
      const options = typeof given[0] === 'function' ? given[2] : given[0];
      const make = async () => (this.#isPipe ? this.#session.createAnswer() : this.#describe(super.createAnswer(options)));
      return answerOldPages(make(), given[0], given[1]);
    }

    /** @param {any} description @param {any[]} old @returns {any} */
    setLocalDescription(description = undefined, ...old) {
      return answerOldPages(this.#setLocal(description), old[0], old[1]);
    }

    async #setLocal(description) {
      if (this.#isPipe) return this.#session.setLocal(description);
      const isWhole = typeof description?.sdp === 'string';
      await this.#describe(super.setLocalDescription(isWhole ? { type: description.type, sdp: withoutLine(description.sdp) } : description));
      this.#check(description?.sdp || description?.type === 'rollback' ? description : super.localDescription, false);
    }

    /** @param {any} description @param {any[]} old @returns {any} */
    setRemoteDescription(description, ...old) {
      return answerOldPages(this.#setRemote(description), old[0], old[1]);
    }

    async #setRemote(description) {
      const sdp = description?.sdp;
      const line = typeof sdp === 'string' ? readLine(sdp) : null;
      // No native answer can come of that page.
      const isOnly = this.#mode === 'native' && line?.isOnly && hasData(sdp);
      if (isOnly && !source.now) await source.load();
      if (isOnly && super.signalingState !== 'closed') this.#giveUp();
      if (this.#isPipe) return this.#session.setRemote(description);
      await super.setRemoteDescription(line ? { type: description.type, sdp: withoutLine(sdp) } : description);
      if (description?.type !== 'rollback') this.#remoteLine = line;
      this.#check(description, true);
    }

    /** @param {any} candidate @param {any[]} old @returns {any} */
    addIceCandidate(candidate = undefined, ...old) {
      const added = this.#isPipe ? this.#session.addIceCandidate(candidate) : super.addIceCandidate(candidate);
      return answerOldPages(added, old[0], old[1]);
    }

    /** @param {any[]} given @returns {any} */
    createDataChannel(...given) {
      if (this.#isPipe) return this.#session.createDataChannel(given[0], given[1]);
      const channel = Reflect.apply(super.createDataChannel, this, given);
      if (this.#mode !== 'won') this.#watch(channel, true);
      return channel;
    }

    /** @param {any[]} given @returns {any} */
    getStats(...given) {
      const succeeded = given.find((value) => typeof value === 'function');
      if (!this.#isPipe) return Reflect.apply(super.getStats, this, given);
      return answerOldPages(Promise.resolve(this.#session.getStats()), succeeded, undefined);
    }

    /** @param {any} configuration */
    setConfiguration(configuration) {
      if (!this.#isPipe) super.setConfiguration(configuration);
    }

    /** For the safety number. */
    get [PIPE_KEYS]() { return this.#isPipe ? this.#session.publicKeys : undefined; }

    restartIce() {
      if (this.#isPipe) this.#session.restartIce();
      else super.restartIce();
    }

    close() {
      this.#session?.close();
      if (this.#isPipe) return;
      this.#letGo();
      super.close();
    }
  }
  // Firefox does not call its own handlers for events of a script.
  addHandlers(RTCPeerConnection, EVENTS);
  return RTCPeerConnection;
}
