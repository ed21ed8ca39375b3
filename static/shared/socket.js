import { broker, chosenKey } from './settings.js';
import { within } from './within.js';

const OPEN_WAIT = 10_000;
const REPLY_WAIT = 10_000;
const CLOSE_WAIT = 1_000;

const scheme = broker.secure ? 'wss:' : 'ws:';
// Without a key, the broker uses the one of --root_key.
const query = chosenKey && `?key=${broker.key}`;

/** The address of the WebSocket at the root of the broker. */
export const rootUrl = `${scheme}//${location.host}${broker.path}${query}`;

/**
 * Opens a WebSocket at the root of the broker, where frames are JSON objects. Calls `onFrame(frame)` for each
 * frame, and `onClose()` when the socket closes, unless this side closed it.
 */
export async function openSocket(onFrame, onClose) {
  const socket = new WebSocket(rootUrl);
  const closed = new Promise((resolve) => socket.addEventListener('close', resolve));
  let wanted = true;

  socket.addEventListener('message', ({ data }) => wanted && onFrame(JSON.parse(data)));

  const opened = new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve);
    closed.then(() => reject(new Error(unreachable())));
  });
  try {
    await within(OPEN_WAIT, opened, unreachable());
  } catch (error) {
    wanted = false;
    socket.close();
    throw error;
  }
  closed.then(() => wanted && onClose());

  return {
    get isOpen() {
      return socket.readyState === WebSocket.OPEN;
    },

    send(frame) {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
    },

    /** Resolves when the other side has confirmed, or after a timeout. */
    close() {
      wanted = false;
      socket.close();
      return within(CLOSE_WAIT, closed, '').catch(() => {});
    },
  };
}

/**
 * Opens a socket and sends `{ action }`. Resolves to the `socket` and the `reply`, the first frame that
 * `isReply(frame)` accepts; from then on calls `onFrame` and `onClose`.
 */
export async function openSocketAndAsk(action, isReply, { onFrame, onClose }) {
  let isOpen = false;
  let replied;
  let refused;
  const reply = new Promise((resolve, reject) => {
    replied = resolve;
    refused = (message) => reject(new Error(message));
  });

  const socket = await openSocket(
    (frame) => {
      if (isOpen) {
        onFrame(frame);
      } else if (isReply(frame)) {
        isOpen = true;
        replied(frame);
      } else if (frame.type === 'error') {
        refused(`The broker refused: “${frame.val}”.`);
      }
    },
    () => (isOpen ? onClose() : refused('The broker closed the connection.')),
  );
  socket.send({ action });
  try {
    return { socket, reply: await within(REPLY_WAIT, reply, 'The broker does not answer.') };
  } catch (error) {
    socket.close();
    throw error;
  }
}

const unreachable = () =>
  `The WebSocket to ${broker.host} could not be opened. Check that peerbroker is running and that this ` +
  'device is on a network that reaches it. A proxy in front of it must forward WebSocket upgrades.';
