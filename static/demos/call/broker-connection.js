import { openSocketAndAsk } from '../../shared/socket.js';

const FIRST_RETRY = 500;
const LAST_RETRY = 8_000;

/**
 * The connection to the broker. It gives this page an id for as long as it is open. Its events:
 *
 * - `open`: there is a new `id`;
 * - `lost`: there is no id, and a retry is scheduled. `detail` is the reason, for people;
 * - `frame`: `detail` has the `action` and the `data` of a frame.
 */
export class BrokerConnection extends EventTarget {
  #socket;
  #attempts = 0;

  id;

  start() {
    this.#connect();
  }

  send(action, data) {
    this.#socket?.send({ action, data });
  }

  async #connect() {
    try {
      const { socket, reply } = await openSocketAndAsk('start', ({ action }) => action === 'start', {
        onFrame: (frame) => frame.data && typeof frame.data === 'object' && this.#tell('frame', frame),
        onClose: () => this.#lost('The connection to the broker was lost.'),
      });
      this.#socket = socket;
      this.id = reply.id;
    } catch (error) {
      this.#lost(error.message);
      return;
    }
    this.#attempts = 0;
    this.#tell('open');
  }

  #lost(reason) {
    this.id = undefined;
    this.#socket = undefined;
    setTimeout(() => this.#connect(), Math.min(FIRST_RETRY * 2 ** this.#attempts, LAST_RETRY));
    this.#attempts += 1;
    this.#tell('lost', reason);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
