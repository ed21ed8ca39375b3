// A native RTCPeerConnection that does what a test says, for decisions between two ways that browsers make too fast to be caught.

import { SessionDescription } from '../../client/src/pipe/descriptions.js';
import { Sdp } from '../../client/src/pipe/sdp.js';

class NativeEvent extends Event {}

export const isNative = (event) => event instanceof NativeEvent;

class FakeChannel extends EventTarget {
  bufferedAmountLowThreshold = 0;
  binaryType = 'arraybuffer';
  sent = [];
  state = 'connecting';

  constructor(label) {
    super();
    this.name = label;
  }

  get label() { return this.name; }
  get readyState() { return this.state; }
  send(text) { this.sent.push(text); }
  close() {
    if (this.state !== 'closed') this.tell('close', 'closed');
  }

  tell(type, state) {
    this.state = state;
    this.dispatchEvent(new NativeEvent(type));
  }

  hear(data) {
    this.dispatchEvent(Object.assign(new NativeEvent('message'), { data }));
  }
}

/** Browsers have accessors on the prototype, which a subclass overrides. */
class States extends EventTarget {
  known = {
    connectionState: 'new', iceConnectionState: 'new', iceGatheringState: 'complete', signalingState: 'stable',
    currentLocalDescription: null, currentRemoteDescription: null, pendingLocalDescription: null, pendingRemoteDescription: null,
  };

  get connectionState() { return this.known.connectionState; }
  get iceConnectionState() { return this.known.iceConnectionState; }
  get iceGatheringState() { return this.known.iceGatheringState; }
  get signalingState() { return this.known.signalingState; }
  get currentLocalDescription() { return this.known.currentLocalDescription; }
  get currentRemoteDescription() { return this.known.currentRemoteDescription; }
  get pendingLocalDescription() { return this.known.pendingLocalDescription; }
  get pendingRemoteDescription() { return this.known.pendingRemoteDescription; }
  get localDescription() { return this.known.pendingLocalDescription ?? this.known.currentLocalDescription; }
  get remoteDescription() { return this.known.pendingRemoteDescription ?? this.known.currentRemoteDescription; }
}

export class FakeNative extends States {
  /** Sections of descriptions, beside that of data. */
  static more = '';
  /** Descriptions that it was given. */
  given = [];
  channels = [];
  senders = [];
  isClosed = false;
  #sdp = new Sdp();

  async createOffer() {
    return new SessionDescription({ type: 'offer', sdp: this.#sdp.offer({ mid: '0', wantsData: true }) + FakeNative.more });
  }

  async createAnswer() {
    return new SessionDescription({ type: 'answer', sdp: this.#sdp.answer(this.known.pendingRemoteDescription.sdp) + FakeNative.more });
  }

  async setLocalDescription(description) { this.#set('Local', description); }
  async setRemoteDescription(description) { this.#set('Remote', description); }

  #set(side, init) {
    const description = new SessionDescription(init);
    this.given.push(description);
    if (description.type === 'offer') {
      this.known[`pending${side}Description`] = description;
      this.known.signalingState = side === 'Local' ? 'have-local-offer' : 'have-remote-offer';
      return;
    }
    const other = side === 'Local' ? 'Remote' : 'Local';
    Object.assign(this.known, {
      [`current${side}Description`]: description,
      [`current${other}Description`]: this.known[`pending${other}Description`],
      pendingLocalDescription: null,
      pendingRemoteDescription: null,
      signalingState: 'stable',
    });
  }

  createDataChannel(label) {
    const channel = new FakeChannel(label);
    this.channels.push(channel);
    return channel;
  }

  getSenders() {
    return this.senders;
  }

  close() {
    this.isClosed = true;
    this.known.signalingState = 'closed';
    // What a page has put in the place of `close` is not of the browser.
    for (const channel of this.channels) FakeChannel.prototype.close.call(channel);
  }

  /** What the network does. */
  turn(state) {
    for (const name of ['iceConnectionState', 'connectionState']) {
      this.known[name] = state;
      this.dispatchEvent(new NativeEvent(`${name.toLowerCase()}change`));
    }
  }

  /** The other side's channel has opened. */
  arrive(label) {
    const channel = new FakeChannel(label);
    channel.state = 'open';
    this.dispatchEvent(Object.assign(new NativeEvent('datachannel'), { channel }));
    return channel;
  }
}
