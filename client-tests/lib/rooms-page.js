// Runs in the pages of a game with rooms, with simple-peer: `host` opens a room and accepts
// every offer, `join` offers. As in such games, the socket is used only to connect.

window.harness = (() => {
  const { record, next, must, count, story } = window.log;
  /** Connections by the player's name; a player's only connection is under 'host'. */
  const peers = new Map();
  /** Of each connection, for simple-peer. */
  let config = { iceServers: [] };
  let socket;

  const send = (message) => socket.send(JSON.stringify(message));

  /** From now on as most games do: with simple-peer's own STUN servers. Nobody reaches them here, so each description waits 5 s. */
  function useDefaultServers() {
    config = undefined;
  }

  async function enter(url) {
    socket = new WebSocket(url);
    socket.onopen = () => record('entered');
    socket.onclose = () => record('socket closed');
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === 'confirmRoom') record('room', message.room);
      if (message.type === 'error') record('refused', message.val);
      if (message.type === 'offer') welcome(message);
      if (message.type === 'answer') peers.get('host').signal(message);
    };
    await must('entered');
  }

  function meet(name, initiator) {
    const peer = new SimplePeer({ initiator, trickle: false, config });
    peers.set(name, peer);
    peer.on('connect', () => record('connected', name));
    peer.on('data', (bytes) => record('heard', `${name}: ${new TextDecoder().decode(bytes)}`));
    peer.on('close', () => record('lost', name));
    peer.on('error', ({ code }) => record('trouble', `${name} ${code}`));
    return peer;
  }

  /** Connects and requests a room; the answer is an event. */
  async function ask(url) {
    await enter(url);
    send({ action: 'createRoom' });
  }

  async function host(url) {
    await ask(url);
    return must('room');
  }

  function welcome({ clientUsername, ...offer }) {
    record('offered', clientUsername);
    const peer = meet(clientUsername, false);
    peer.on('signal', (response) => send({ action: 'offerResponse', clientUsername, response }));
    peer.signal(offer);
  }

  /** Connects if necessary, and requests to join; the answer is an event. */
  async function join({ url, room, username }) {
    if (!socket) await enter(url);
    const peer = meet('host', true);
    peer.on('signal', (offer) => send({ action: 'joinRoom', room, username, offer }));
  }

  const say = ({ to, text }) => peers.get(to).send(text);

  return { next, must, count, story, useDefaultServers, ask, host, join, say };
})();
