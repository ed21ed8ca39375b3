import { openSocket } from '../../shared/socket.js';
import { PeerLink } from './peer-link.js';

const WAIT = 15_000;

/** A failed attempt to join. `reason` is `broker`, `silent`, `direct`, or the broker's error, such as `wrong room`. */
export class Refused extends Error {
  constructor(reason, message = reason) {
    super(message);
    this.reason = reason;
  }
}

/**
 * Asks once for a seat in a room. Resolves to the `link` to the computer, its `welcome`, the `socket`,
 * and `socketClosed`, a promise that resolves when the other side closes the socket.
 */
export async function askForSeat({ room, name, key }) {
  const link = new PeerLink({ initiator: true });
  let socket;
  let timer;
  try {
    const offer = await next(link, 'signal');
    let onFrame;
    let onClose;
    const socketClosed = new Promise((resolve) => (onClose = resolve));
    socket = await openSocket((frame) => onFrame(frame), onClose).catch((error) => {
      throw new Refused('broker', error.message);
    });

    const welcome = await new Promise((resolve, reject) => {
      let wasAnswered = false;
      const refuse = (reason, message) => reject(new Refused(reason, message));

      onFrame = (frame) => {
        if (frame.type === 'error') refuse(frame.val, `The broker refused: “${frame.val}”.`);
        if (frame.type !== 'answer') return;
        wasAnswered = true;
        link.signal(frame);
      };
      socketClosed.then(() => !wasAnswered && refuse('broker', 'The broker closed the connection.'));
      timer = setTimeout(() => refuse(wasAnswered ? 'direct' : 'silent'), WAIT);

      link.addEventListener('open', () => link.send({ type: 'hello', key }));
      link.addEventListener('message', ({ detail }) => {
        if (detail.type === 'welcome') resolve(detail);
        if (detail.type === 'full') refuse('room full');
      });
      link.addEventListener('close', () => refuse('direct'));

      socket.send({ action: 'joinRoom', room, username: name, offer });
    });
    return { link, welcome, socket, socketClosed };
  } catch (error) {
    link.close();
    await socket?.close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

const next = (target, type) =>
  new Promise((resolve) => target.addEventListener(type, ({ detail }) => resolve(detail), { once: true }));
