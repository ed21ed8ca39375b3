// Gives a connection another path when its own has died: an ICE restart. Both ends need this script, because released PeerJS
// closes a connection that gets a second offer. So each offer and answer says that its sender takes part.
export function iceRestarts() {
  // In milliseconds: a path may come back by itself, or the caller restarts it; an offer may get lost.
  const CALLER_TIMEOUT = 2_000;
  const CALLEE_TIMEOUT = 4_000;
  const AGAIN = 3_000;
  const MOST_OFFERS = 20;
  const takesPart = new WeakSet();
  const asked = new WeakSet();
  const isCaller = ({ options }) => !options._payload;
  const pause = (time) => new Promise((done) => { setTimeout(done, time); });

  /** Describes a connection anew. Returns a function that sends the description. */
  async function describe(peer, connection, type, description) {
    const { peerConnection, connectionId, options } = connection;
    const send = (kind, what) => peer.socket.send({
      type: kind,
      payload: { ...what, type: connection.type, connectionId },
      dst: connection.peer,
    });
    // PeerJS stops sending candidates when the first path is complete.
    peerConnection.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) send('CANDIDATE', { candidate });
    };
    const sdp = options.sdpTransform?.(description.sdp) || description.sdp;
    await peerConnection.setLocalDescription({ type: description.type, sdp });
    return () => send(type, { sdp: peerConnection.localDescription, restart: true });
  }

  async function restart(peer, connection) {
    const { peerConnection } = connection;
    if (peerConnection?.iceConnectionState !== 'disconnected' || peerConnection.signalingState !== 'stable') return;
    const send = await describe(peer, connection, 'OFFER', await peerConnection.createOffer({ iceRestart: true }));
    asked.add(connection);
    // The connection to the broker may be lost too, on either end.
    for (let times = 0; times < MOST_OFFERS && peerConnection.signalingState === 'have-local-offer'; times += 1) {
      send();
      await pause(AGAIN);
    }
  }

  async function answer(peer, connection, offer) {
    const { peerConnection } = connection;
    // Two offers have crossed: that of the caller wins.
    if (peerConnection.signalingState !== 'stable' && isCaller(connection)) return;
    await peerConnection.setRemoteDescription(offer);
    const send = await describe(peer, connection, 'ANSWER', await peerConnection.createAnswer());
    send();
  }

  /** Then PeerJS closes the connection, as it does without a restart. */
  const note = (error) => console.warn('peerjs.js cannot restart a connection:', error);

  return {
    /** Says in the offers and answers of a Peer that it takes part. @param {any} peer */
    announceIn({ socket }) {
      if (!socket) return;
      const { send } = socket;
      socket.send = (message) => {
        if (['OFFER', 'ANSWER'].includes(message.type) && message.payload) message.payload.restarts = true;
        return send.call(socket, message);
      };
    },

    watch(peer, connection) {
      if (connection.options._payload?.restarts) takesPart.add(connection);
      connection.on('iceStateChanged', async (state) => {
        if (state !== 'disconnected' || !takesPart.has(connection)) return;
        await pause(isCaller(connection) ? CALLER_TIMEOUT : CALLEE_TIMEOUT);
        restart(peer, connection).catch(note);
      });
    },

    /** True if a message is about a restart, and not for PeerJS. */
    take(peer, { type, src, payload }) {
      // The other end of a restart is absent. That is no error of a page that has called nobody.
      if (type === 'EXPIRE') {
        const all = peer.connections[src] ?? [];
        return all.some((connection) => asked.has(connection)) && all.every(({ open }) => open);
      }
      if (!payload?.restarts) return false;
      const connection = peer.getConnection(src, payload.connectionId);
      if (type === 'ANSWER' && connection) {
        takesPart.add(connection);
        // A second answer, to an offer that was sent twice.
        return connection.peerConnection?.signalingState !== 'have-local-offer';
      }
      if (type !== 'OFFER' || !payload.restart) return false;
      // Without the connection: it has ended here meanwhile.
      if (connection?.peerConnection) answer(peer, connection, payload.sdp).catch(note);
      return true;
    },
  };
}
