import { openSocketAndAsk } from '../../shared/socket.js';
import { PeerLink } from './peer-link.js';

const HELLO_WAIT = 20_000;

/**
 * A room at the broker. It connects players that join. Its events:
 *
 * - `arrived`: a player's data channel is open. `detail` has the `link`, the `name` at the broker,
 *   and the `key` that identifies the player's device;
 * - `lost`: the broker no longer has the room. Links stay open.
 */
export class Room extends EventTarget {
  #socket;

  /** Its four letters, once it is open. */
  code;

  /** True if new names are refused. */
  locked = false;

  get isOpen() {
    return Boolean(this.#socket?.isOpen);
  }

  async open() {
    const { socket, reply } = await openSocketAndAsk('createRoom', ({ type }) => type === 'confirmRoom', {
      onFrame: (frame) => this.#receive(frame),
      onClose: () => this.#lost(),
    });
    this.#socket = socket;
    this.code = reply.room;
  }

  lock() {
    this.locked = true;
    this.#socket?.send({ action: 'startGame' });
  }

  close() {
    this.#socket?.close();
  }

  #receive(frame) {
    if (frame.type === 'offer') this.#answer(frame);
    // Other errors concern an answer for a player who has left.
    if (frame.type === 'error' && frame.val === 'wrong room') this.#lost();
  }

  #lost() {
    this.close();
    this.dispatchEvent(new CustomEvent('lost'));
  }

  #answer({ clientUsername: name, ...offer }) {
    const link = new PeerLink({ initiator: false });
    const giveUp = setTimeout(() => link.close(), HELLO_WAIT);

    link.addEventListener('signal', ({ detail: response }) => {
      this.#socket.send({ action: 'offerResponse', clientUsername: name, response });
    });
    link.addEventListener('close', () => clearTimeout(giveUp));
    link.addEventListener('message', function hello({ detail: message }) {
      if (message.type !== 'hello') return;
      link.removeEventListener('message', hello);
      clearTimeout(giveUp);
      arrived(String(message.key));
    });
    const arrived = (key) => this.dispatchEvent(new CustomEvent('arrived', { detail: { link, name, key } }));

    link.signal(offer);
  }
}
