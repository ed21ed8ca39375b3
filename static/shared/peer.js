import { randomHex } from '../client/random.js';
import { fetchId } from './ask-broker.js';
import { loadLibrary, requireWebRtc } from './library.js';
import { broker, peerOptions } from './settings.js';
import { remember, take } from './storage.js';

/** Resolves to the `Peer` class once its script has loaded; rejects if this browser has no WebRTC. */
export async function loadPeer(key = broker.key) {
  const Peer = await loadLibrary('Peer', 'PeerJS');
  await requireWebRtc(key);
  return Peer;
}

/**
 * Resolves to an open peer, which keeps its id when the page is reloaded. From then on it reconnects by itself.
 * Rejects with words for people.
 */
export async function openPeer(role) {
  const identity = take(role) ?? { id: await fetchId(), token: randomHex(16) };
  const peer = new window.Peer(identity.id, { ...peerOptions, token: identity.token });
  try {
    await new Promise((resolve, reject) => {
      peer.once('open', resolve);
      peer.once('error', (error) => reject(new Error(explain(error))));
    });
  } catch (error) {
    peer.destroy();
    throw error;
  }
  window.addEventListener('pagehide', () => {
    remember(role, identity);
    // Closes the connections, so that the other side need not wait for a timeout.
    peer.destroy();
  });
  return peer;
}

/** Calls `lost(why, isForGood)` when an open peer has lost the broker. It may be refused only when it returns. */
export function watchLoss(peer, lost) {
  let why;
  const tell = () => peer.disconnected && lost(why, !peer.willReconnect);
  peer.on('error', (error) => {
    why = explain(error);
    if (!peer.willReconnect) tell();
  });
  peer.on('disconnected', tell);
}

/** Explains an error of a Peer, and says what to do about it. */
export function explain(error) {
  switch (error.type) {
    case 'network':
    case 'socket-error':
    case 'socket-closed':
      if (/It said: /.test(error.message)) return `The broker closed the connection: “${error.message.split('It said: ')[1]}”.`;
      return (
        `The WebSocket to ${broker.host} could not be opened, or was closed. Check that peerbroker is ` +
        'running. A proxy in front of it must forward WebSocket upgrades.'
      );
    case 'unavailable-id':
      return 'Another client uses this id.';
    case 'invalid-key':
      return 'The broker does not accept this key.';
    case 'server-error':
      return `The broker refused: “${error.message}”.`;
    case 'peer-unavailable':
      return 'The broker could not deliver the message: the other peer is not connected.';
    default:
      return error.message;
  }
}
