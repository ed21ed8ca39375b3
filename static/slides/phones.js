/**
 * The phones that are connected to the presentation. Calls `onChange()` when one
 * comes or goes, and `onCommand(name)` with `next` or `previous`.
 */
export class Phones {
  #connections = new Map();
  #position;
  #onChange;
  #onCommand;

  /** The last round-trip time, in milliseconds, that a phone has told. */
  roundTrip;

  constructor({ position, onChange, onCommand }) {
    this.#position = position;
    this.#onChange = onChange;
    this.#onCommand = onCommand;
  }

  /** How many are within reach right now. */
  get count() {
    return [...this.#connections.values()].filter((phone) => phone.reachable).length;
  }

  /** The id of one of them, if there is any. */
  get someId() {
    return this.#connections.keys().next().value;
  }

  add(connection) {
    const phone = { connection, reachable: true };

    connection.on('open', () => {
      // A phone that comes back has its old id; its old connection is dead by now.
      this.#connections.get(connection.peer)?.connection.close();
      this.#connections.set(connection.peer, phone);
      this.#onChange();
    });
    connection.on('data', (message) => this.#receive(connection, message));
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

  #receive(connection, message) {
    switch (message?.type) {
      case 'next':
      case 'previous':
        this.#onCommand(message.type);
        break;
      case 'ping':
        // With the position: what is sent as soon as the channel is open may be lost, but a phone asks again.
        connection.send({ type: 'pong', sentAt: message.sentAt, ...this.#position() });
        if (Number.isFinite(message.roundTrip)) {
          this.roundTrip = message.roundTrip;
          this.#onChange();
        }
        break;
      default:
    }
  }
}
