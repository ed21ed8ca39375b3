import { peerOptions } from '../settings.js';

/**
 * A data channel to the other side, with JSON both ways. Its events:
 *
 * - `signal`: `detail` is the one description that the other side needs, candidates included;
 * - `open`;
 * - `message`: `detail` is what the other side sent;
 * - `close`: it is over, or never came about.
 */
export class Link extends EventTarget {
  #peer;
  #unsent = [];

  constructor({ initiator }) {
    super();
    this.#peer = new window.SimplePeer({ initiator, trickle: false, config: peerOptions.config });
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

  signal(description) {
    if (!this.#peer.destroyed) this.#peer.signal(description);
  }

  send(message) {
    // What the other side says first may be here before this side knows that it is connected.
    if (this.#peer.connected) this.#peer.send(JSON.stringify(message));
    else if (!this.#peer.destroyed) this.#unsent.push(message);
  }

  /** Ends it without a `close` event: whoever calls this knows. */
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
