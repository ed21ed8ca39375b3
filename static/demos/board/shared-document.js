import { wayOfEnd } from '../../client/connection-stats.js';
import { peerOptions } from '../../shared/settings.js';
import { rootUrl } from '../../shared/socket.js';

const BROKER_WAIT = 10_000;
const CONNECT_WAIT = 30_000;
const WAY_EVERY = 5_000;

// simple-peer's codes of a connection for which no way was found.
const NO_WAY = new Set(['ERR_CONNECTION_FAILURE', 'ERR_ICE_CONNECTION_FAILURE']);

/**
 * A document of Yjs that pages share over connections of their own. y-webrtc makes these, with the broker as its signaling
 * server. Its event `change` says that a connection opened or ended, also the one to the broker.
 */
export class SharedDocument extends EventTarget {
  doc = new window.Yjs.Doc();

  /** The connection to the broker: `connecting`, `open` or `lost`. */
  broker = 'connecting';

  /** True if somebody came, but no way to them was found. */
  hasMissed = false;

  #provider;
  #ways = new WeakMap();

  constructor(name, saved) {
    super();
    const { WebrtcProvider, applyUpdate, fromBase64 } = window.Yjs;
    if (saved) applyUpdate(this.doc, fromBase64(saved));
    this.#provider = new WebrtcProvider(name, this.doc, {
      signaling: [rootUrl],
      // Windows of one browser connect like those of two.
      filterBcConns: false,
      peerOpts: { config: peerOptions.config },
    });
    this.#provider.on('peers', ({ added }) => {
      for (const id of added) this.#watch(this.#provider.room.webrtcConns.get(id));
      this.#tell();
    });

    const [signaling] = this.#provider.signalingConns;
    signaling.on('connect', () => this.#brokerIs('open'));
    signaling.on('disconnect', () => this.#brokerIs('lost'));
    setTimeout(() => this.broker === 'connecting' && this.#brokerIs('lost'), BROKER_WAIT);

    // The others need not wait for a timeout.
    window.addEventListener('pagehide', () => this.#provider.destroy());
  }

  /** What everybody says of themselves. Nothing of it stays when they leave. */
  get awareness() {
    return this.#provider.awareness;
  }

  /** The number of connections to other pages that are open, and whose ways are known. Without the broker, none goes over it. */
  get others() {
    return this.#open.filter((connection) => this.broker !== 'lost' || this.#ways.get(connection) !== 'pipe').length;
  }

  /** The ways of these connections: `direct`, and those that need a server. */
  get ways() {
    return new Set(this.#open.map((connection) => this.#ways.get(connection)));
  }

  /** The document as a text. */
  save() {
    const { encodeStateAsUpdate, toBase64 } = window.Yjs;
    return toBase64(encodeStateAsUpdate(this.doc));
  }

  get #open() {
    return [...(this.#provider.room?.webrtcConns.values() ?? [])].filter((each) => each.connected && this.#ways.has(each));
  }

  #watch(connection) {
    if (!connection) return;
    connection.peer.on('connect', () => {
      this.hasMissed = false;
      this.#watchWay(connection);
    });
    connection.peer.on('error', ({ code }) => {
      if (!connection.connected && NO_WAY.has(code)) this.hasMissed = true;
      this.#tell();
    });
    // y-webrtc would wait for ever for a page that left meanwhile.
    setTimeout(() => !connection.connected && connection.destroy(), CONNECT_WAIT);
  }

  /** Asks again and again, because browsers change the way of a connection without an event. */
  async #watchWay(connection) {
    if (connection.closed) return;
    // simple-peer has no public name for it.
    this.#ways.set(connection, await wayOfEnd(connection.peer._pc).catch(() => 'unknown'));
    this.#tell();
    setTimeout(() => this.#watchWay(connection), WAY_EVERY);
  }

  #brokerIs(state) {
    this.broker = state;
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event('change'));
  }
}
