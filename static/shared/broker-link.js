import { randomHex } from '../client/random.js';
import { explain, fetchId } from './broker.js';
import { peerOptions } from './settings.js';
import { remember, take } from './storage.js';

const OPEN_WAIT = 10_000;
const FIRST_RETRY = 500;
const LAST_RETRY = 8_000;

const BROKER_ERRORS = new Set([
  'network',
  'socket-error',
  'socket-closed',
  'server-error',
  'invalid-key',
  'unavailable-id',
]);

/**
 * A Peer that reconnects to the broker, and keeps its id when the page is reloaded. Its events:
 *
 * - `open`: the peer is connected to the broker;
 * - `lost`: it is disconnected, and a retry is scheduled. `detail` has the `reason`
 *   and the number of failed `attempts` since the last `open`;
 * - `connection`: another peer connected; `detail` is the DataConnection;
 * - `unavailable`: the requested peer is not connected to the broker.
 */
export class BrokerLink extends EventTarget {
  #identity;
  #peer;
  #reason;
  #attempts = 0;
  #retryTimer;
  #openTimer;

  constructor(role) {
    super();
    this.#identity = take(role);

    const hurry = () => this.#retryTimer && document.visibilityState === 'visible' && this.#connect();
    window.addEventListener('online', hurry);
    document.addEventListener('visibilitychange', hurry);
    window.addEventListener('pagehide', () => {
      if (this.#identity) remember(role, this.#identity);
      // Closes the connections, so that the other side need not wait for a timeout.
      this.#peer?.destroy();
    });
  }

  get id() {
    return this.#identity?.id;
  }

  /** For rooms and calls. It is another one after its id was lost. */
  get peer() {
    return this.#peer;
  }

  get isOpen() {
    return Boolean(this.#peer?.open);
  }

  start() {
    this.#connect();
  }

  /** Replaces the socket, which may be dead although it looks open. */
  renew() {
    if (this.isOpen) this.#peer.disconnect();
    if (this.#retryTimer) this.#connect();
  }

  connect(peerId) {
    return this.#peer.connect(peerId, { reliable: true, serialization: 'json' });
  }

  async #connect() {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    try {
      this.#identity ??= await newIdentity();
    } catch (error) {
      this.#reason = error.message;
      this.#retryLater();
      return;
    }
    this.#openTimer = setTimeout(() => {
      this.#reason = `${peerOptions.host} does not answer.`;
      this.#peer.disconnect();
    }, OPEN_WAIT);
    if (this.#peer && !this.#peer.destroyed) this.#peer.reconnect();
    else this.#peer = this.#createPeer();
  }

  #createPeer() {
    const { id, token } = this.#identity;
    const peer = new window.Peer(id, { ...peerOptions, token });

    peer.on('open', () => {
      clearTimeout(this.#openTimer);
      this.#attempts = 0;
      this.#reason = undefined;
      this.#tell('open');
    });
    peer.on('connection', (connection) => this.#tell('connection', connection));
    peer.on('disconnected', () => this.#retryLater());
    peer.on('error', (error) => {
      if (error.type === 'peer-unavailable') this.#tell('unavailable');
      if (!BROKER_ERRORS.has(error.type)) return;
      this.#reason = explain(error);
      if (error.type === 'unavailable-id') {
        this.#identity = undefined;
        peer.destroy();
      }
    });
    return peer;
  }

  #retryLater() {
    clearTimeout(this.#openTimer);
    if (this.#retryTimer) return;
    const attempts = this.#attempts;
    this.#attempts += 1;
    this.#retryTimer = setTimeout(() => this.#connect(), Math.min(FIRST_RETRY * 2 ** attempts, LAST_RETRY));
    this.#tell('lost', { reason: this.#reason ?? 'The connection to the broker was lost.', attempts });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

async function newIdentity() {
  const id = await fetchId();
  return { id, token: randomHex(16) };
}
