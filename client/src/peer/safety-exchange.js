// Safety numbers of a Peer's connections: what the two sides of an exchange say goes with PeerJS's messages, as the member `safety`.

import { Exchange, safetyNumber, until } from '../safety-number.js';

export function safetyNumbers() {
  /** @type {WeakMap<object, Exchange>} */
  const exchanges = new WeakMap();
  /** What goes with the offers. @type {WeakMap<object, Promise<string | undefined>>} */
  const commitments = new WeakMap();
  /** What goes with the answers. @type {WeakMap<object, string | undefined>} */
  const nonces = new WeakMap();

  /** Of a data connection only once it is open: before, its way may still change to a pipe. */
  async function numberOf(connection) {
    await until(() => connection.open || connection.type !== 'data' || !connection.peerConnection);
    if (!connection.peerConnection) throw new Error('There is no safety number: the connection is not answered, or closed');
    return safetyNumber(connection.peerConnection, exchanges.get(connection));
  }

  return {
    announceIn(peer) {
      const { socket } = peer;
      if (!socket) return;
      const { send } = socket;
      socket.send = (message) => {
        const { type, dst, payload } = message;
        const connection = payload && peer.getConnection(dst, payload.connectionId);
        const commitment = commitments.get(connection);
        if (type === 'ANSWER') payload.safety = nonces.get(connection);
        if (type !== 'OFFER' || !commitment) return send.call(socket, message);
        return commitment.then((safety) => send.call(socket, { ...message, payload: { ...payload, safety } }));
      };
    },

    watch(connection) {
      const exchange = new Exchange();
      exchanges.set(connection, exchange);
      const offer = connection.options._payload;
      if (offer) nonces.set(connection, exchange.offered(offer.safety, offer.sdp?.sdp));
      // Now, so that the offer does not wait for it.
      else commitments.set(connection, exchange.commitment());
      connection.safetyNumber = () => numberOf(connection);
    },

    /** True if a message is the caller's nonce, and not for PeerJS. */
    take(peer, { type, src, payload }) {
      if (!payload?.safety) return false;
      const connection = peer.getConnection(src, payload.connectionId);
      const exchange = exchanges.get(connection);
      if (type === 'ANSWER') {
        const safety = exchange?.answered(payload.safety, payload.sdp?.sdp);
        if (safety) peer.socket.send({ type: 'CANDIDATE', payload: { safety, type: connection.type, connectionId: payload.connectionId }, dst: src });
      }
      if (type !== 'CANDIDATE') return false;
      exchange?.opened(payload.safety);
      return true;
    },
  };
}
