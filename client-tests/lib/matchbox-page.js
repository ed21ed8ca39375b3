// Runs in the pages of a room of Matchbox: its frames by hand, as `src/webrtc_socket/wasm.rs` of matchbox_socket 0.15 has them.

window.harness = (() => {
  const { record, next, must, count, story } = window.log;
  const peers = {};
  let socket;

  const signal = (receiver, data) => socket.send(JSON.stringify({ Signal: { receiver, data } }));

  function peer(id) {
    const connection = new RTCPeerConnection({ iceServers: [] });
    const channel = connection.createDataChannel('matchbox_socket_0', { negotiated: true, id: 0 });
    channel.onopen = () => record('met', id);
    channel.onmessage = ({ data }) => record('heard', data);
    // A signal waits until the earlier ones of its sender are handled.
    return (peers[id] = { connection, channel, settled: Promise.resolve() });
  }

  /** Sends a description with all of its candidates. */
  async function describe(id, kind) {
    const { connection } = peers[id];
    const isGathered = new Promise((resolve) => { connection.onicecandidate = ({ candidate }) => candidate ?? resolve(); });
    await connection.setLocalDescription();
    await isGathered;
    signal(id, { [kind]: connection.localDescription.sdp });
  }

  async function obey(id, { Offer: offer, Answer: answer, IceCandidate: candidate }) {
    const { connection } = peers[id];
    if (candidate) await connection.addIceCandidate(JSON.parse(candidate));
    if (answer) await connection.setRemoteDescription({ type: 'answer', sdp: answer });
    if (!offer) return;
    await connection.setRemoteDescription({ type: 'offer', sdp: offer });
    await describe(id, 'Answer');
  }

  const heard = {
    IdAssigned: (id) => record('id', id),
    NewPeer: (id) => peer(id) && describe(id, 'Offer'),
    PeerLeft: (id) => record('left', id),
    Signal({ sender, data }) {
      const from = peers[sender] ?? peer(sender);
      from.settled = from.settled.then(() => obey(sender, data)).catch((error) => record('error', error.message));
    },
    Error: (text) => record('error', text),
  };

  /** Enters a room; resolves with the id that the server gives. */
  function enter(url) {
    socket = new WebSocket(url);
    socket.onmessage = ({ data }) => Object.entries(JSON.parse(data)).forEach(([kind, said]) => heard[kind](said));
    return must('id');
  }

  const say = ({ to, text }) => peers[to].channel.send(text);
  const way = (id) => window.wayOf(peers[id].connection);

  return { enter, say, way, next, must, count, story };
})();
