import { wayOfEnd } from '../../client/connection-stats.js';

/**
 * The phones that are connected to the presentation. Calls `onChange()` when one
 * connects or disconnects, and `onCommand(name)` with `next` or `previous`.
 */
export class Phones {
  #connections = new Map();
  #position;
  #onChange;
  #onCommand;

  /** The last round-trip time in milliseconds that a phone reported, and whether it went over the broker. @type {{ time: number, isOverBroker: boolean } | undefined} */
  roundTrip;

  constructor({ position, onChange, onCommand }) {
    this.#position = position;
    this.#onChange = onChange;
    this.#onCommand = onCommand;
  }

  /** The number of reachable phones. */
  get count() {
    return [...this.#connections.values()].filter((phone) => phone.reachable).length;
  }

  /** True if the data of a reachable phone goes over the broker. */
  get areOverBroker() {
    return [...this.#connections.values()].some((phone) => phone.reachable && phone.isOverBroker);
  }

  /** The id of one phone, if there is one. */
  get someId() {
    return this.#connections.keys().next().value;
  }

  add(connection) {
    const phone = { connection, reachable: true, isOverBroker: false };

    connection.on('open', async () => {
      // A phone that reconnects has its old id; its old connection is dead.
      this.#connections.get(connection.peer)?.connection.close();
      this.#connections.set(connection.peer, phone);
      this.#onChange();
      // A connection that ends meanwhile has no way.
      phone.isOverBroker = (await wayOfEnd(connection.peerConnection).catch(() => undefined)) === 'pipe';
      if (phone.isOverBroker) this.#onChange();
    });
    connection.on('data', (message) => this.#receive(phone, message));
    connection.on('iceStateChanged', (state) => {
      phone.reachable = state === 'connected' || state === 'completed';
      this.#onChange();
    });
    connection.on('close', () => {
      if (this.#connections.get(connection.peer) !== phone) return;
      this.#connections.delete(connection.peer);
      this.#onChange();
    });
  }

  sendPosition() {
    for (const { connection } of this.#connections.values()) {
      connection.send({ type: 'position', ...this.#position() });
    }
  }

  #receive({ connection, isOverBroker }, message) {
    switch (message?.type) {
      case 'next':
      case 'previous':
        this.#onCommand(message.type);
        break;
      case 'ping':
        // Repeats the position, because a message sent as soon as the channel opens may be lost.
        connection.send({ type: 'pong', sentAt: message.sentAt, ...this.#position() });
        if (Number.isFinite(message.roundTrip)) {
          this.roundTrip = { time: message.roundTrip, isOverBroker };
          this.#onChange();
        }
        break;
      default:
    }
  }
}
