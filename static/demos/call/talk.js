import { Exchange, safetyNumber } from '../../client/safety-number.js';
import { peerOptions } from '../../shared/settings.js';

/**
 * The direct connection of one call. `send(action, data)` sends signalling messages through the broker. Its events:
 *
 * - `connected`;
 * - `shaky`: the connection is interrupted;
 * - `media`: `detail` says whether the other side has its `camera` and `microphone` on;
 * - `ended`: `detail` is `hung up`, `lost`, or `direct` if there never was a connection.
 */
export class Talk extends EventTarget {
  #connection = new RTCPeerConnection(peerOptions.config);
  // Only our pages listen on it. Channels that other clients open get the lowest ids.
  #channel = this.#connection.createDataChannel('call', { negotiated: true, id: 100 });
  #send;
  #exchange = new Exchange();
  /** What opens the commitment of this side. */
  #opening;
  #early = [];
  #media;
  #wasConnected = false;
  #isOver = false;

  /** The other side's stream. */
  remote = new MediaStream();

  constructor(send) {
    super();
    this.#send = send;
    this.#connection.addEventListener('icecandidate', ({ candidate }) => {
      if (candidate) send('iceCandidate', { candidate: candidate.toJSON() });
    });
    this.#connection.addEventListener('track', ({ track }) => this.remote.addTrack(track));
    this.#connection.addEventListener('connectionstatechange', () => this.#stateChanged());
    this.#channel.addEventListener('open', () => {
      this.#tellMedia();
      if (this.#opening) this.#channel.send(JSON.stringify({ safety: this.#opening }));
    });
    this.#channel.addEventListener('message', ({ data }) => this.#theirMedia(data));
    // The other side has closed its connection; this works without the broker.
    this.#channel.addEventListener('close', () => this.#end('hung up'));
  }

  /** Starts a call with the tracks of `local`; always offers to receive sound and video. */
  async offer(local) {
    for (const kind of ['audio', 'video']) {
      const [track] = local.getTracks().filter((own) => own.kind === kind);
      this.#connection.addTransceiver(track ?? kind, { direction: track ? 'sendrecv' : 'recvonly', streams: [local] });
    }
    await this.#connection.setLocalDescription();
    const safety = await this.#exchange.commitment();
    this.#send('offer', { offer: this.#connection.localDescription?.toJSON(), safety });
  }

  async answer(description, commitment, local) {
    await this.#connection.setRemoteDescription(description);
    for (const track of local.getTracks()) this.#connection.addTrack(track, local);
    await this.#connection.setLocalDescription();
    const safety = this.#exchange.offered(commitment, description.sdp);
    this.#send('answer', { answer: this.#connection.localDescription?.toJSON(), safety });
    await this.#addEarly();
  }

  async answered(description, nonce) {
    this.#opening = this.#exchange.answered(nonce, description.sdp);
    await this.#connection.setRemoteDescription(description);
    await this.#addEarly();
  }

  /** Candidates may arrive before their description; those are kept. */
  async addCandidate(candidate) {
    if (this.#connection.remoteDescription) await this.#connection.addIceCandidate(candidate);
    else this.#early.push(candidate);
  }

  /** Tells the other side whether `camera` and `microphone` are on. */
  set media(media) {
    this.#media = media;
    this.#tellMedia();
  }

  /** Resolves once there is a connection. */
  safetyNumber() {
    return safetyNumber(this.#connection, this.#exchange);
  }

  /** Closes the connection without an `ended` event. */
  close() {
    this.#isOver = true;
    this.#connection.close();
  }

  #theirMedia(text) {
    let media;
    try {
      media = JSON.parse(text);
    } catch {
      return;
    }
    if (media?.safety) this.#exchange.opened(media.safety);
    if (typeof media?.camera === 'boolean' && typeof media.microphone === 'boolean') this.#tell('media', media);
  }

  #tellMedia() {
    if (this.#channel.readyState === 'open' && this.#media) this.#channel.send(JSON.stringify(this.#media));
  }

  async #addEarly() {
    const early = this.#early.splice(0);
    await Promise.all(early.map((candidate) => this.#connection.addIceCandidate(candidate)));
  }

  #stateChanged() {
    const state = this.#connection.connectionState;
    if (state === 'connected') {
      this.#wasConnected = true;
      this.#tell('connected');
    }
    if (state === 'disconnected') this.#tell('shaky');
    if (state === 'failed') this.#end(this.#wasConnected ? 'lost' : 'direct');
  }

  #end(reason) {
    if (this.#isOver) return;
    this.close();
    this.#tell('ended', reason);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
