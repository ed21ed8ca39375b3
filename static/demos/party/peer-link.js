import { wayOfEnd } from '../../client/connection-stats.js';
import { peerOptions } from '../../shared/settings.js';

/**
 * A data channel to the other side, with JSON both ways. Its events:
 *
 * - `signal`: `detail` is the description for the other side, with all candidates;
 * - `open`;
 * - `message`: `detail` is a message of the other side;
 * - `close`: the connection ended or could not be opened.
 */
export class PeerLink extends EventTarget {
  #peer;
  #unsent = [];

  constructor({ initiator }) {
    super();
    // Without trickle, a STUN server that does not answer would delay every link.
    const iceServers = peerOptions.config.iceServers.filter(({ credential }) => credential);
    this.#peer = new window.SimplePeer({ initiator, trickle: false, config: { iceServers } });
    this.#peer.on('signal', (description) => this.#tell('signal', description));
    this.#peer.on('connect', () => {
      for (const message of this.#unsent.splice(0)) this.send(message);
      this.#tell('open');
    });
    this.#peer.on('data', (bytes) => this.#receive(bytes));
    // The reason does not matter: a `close` follows.
    this.#peer.on('error', () => {});
    this.#peer.on('close', () => this.#tell('close'));
  }

  /** True if the data of an open link goes over the broker. */
  async isOverBroker() {
    // simple-peer has no public name for it. A link that ends meanwhile has no way.
    return wayOfEnd(this.#peer._pc).then((way) => way === 'pipe', () => false);
  }

  signal(description) {
    if (!this.#peer.destroyed) this.#peer.signal(description);
  }

  send(message) {
    // The other side's first message can arrive before this side's `connect` event.
    if (this.#peer.connected) this.#peer.send(JSON.stringify(message));
    else if (!this.#peer.destroyed) this.#unsent.push(message);
  }

  /** Closes the link without a `close` event. */
  close() {
    this.#peer.removeAllListeners('close');
    this.#peer.destroy();
  }

  #receive(bytes) {
    let message;
    try {
      message = JSON.parse(new TextDecoder().decode(bytes));
    } catch {
      return;
    }
    if (message && typeof message === 'object') this.#tell('message', message);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
