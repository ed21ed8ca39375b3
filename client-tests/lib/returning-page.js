// Runs in pages with the served PeerJS: Peers that come back by themselves, and the habits of pages that call `reconnect()`.

window.harness = (() => {
  const { record, next, must, count, story } = window.log;
  const peers = new Map();
  const lines = [];
  const rooms = [];
  const heard = [];
  const openedAt = new Map();

  /** Timers that wait until the test releases them: those of all pauses that a Peer makes. */
  const held = new Map();
  const { setTimeout, clearTimeout } = window;
  const LONG = 400;

  function hold() {
    window.setTimeout = /** @type {any} */ ((action, time = 0, ...args) => {
      const timer = setTimeout(action, time < LONG ? time : 2 ** 31 - 1, ...args);
      if (time >= LONG) held.set(timer, () => action(...args));
      return timer;
    });
    window.clearTimeout = (timer) => {
      held.delete(timer);
      clearTimeout(timer);
    };
  }

  function release() {
    Object.assign(window, { setTimeout, clearTimeout });
    for (const [timer, action] of held) {
      clearTimeout(timer);
      action();
    }
    held.clear();
  }

  /** The actions of pages after a pause. The test ends all pauses once it knows whether the Peers are back. */
  const pauses = [];

  function endPauses() {
    for (const action of pauses.splice(0)) action();
  }

  /** The usual ways of pages to answer a lost connection. */
  const habits = {
    none() {},
    'in the event': (peer) => peer.on('disconnected', () => peer.reconnect()),
    'by a timer': (peer) => peer.on('disconnected', () => pauses.push(() => peer.reconnect())),
    both(peer) {
      habits['in the event'](peer);
      habits['by a timer'](peer);
    },
    'in the error': (peer) => peer.on('error', ({ type }) => type === 'network' && peer.reconnect()),
    'a new Peer': (peer) => peer.once('disconnected', () => pauses.push(() => make({ id: peer.id ?? peer._lastServerId }))),
    'a new Peer at once': (peer) => peer.once('disconnected', () => make({ id: `${peer._lastServerId}-2` })),
    'an error of its own': (peer) => peer.on('error', () => { throw new Error('a fault of the page'); }),
    destroy: (peer) => peer.on('disconnected', () => peer.destroy()),
    disconnect: (peer) => peer.on('error', () => peer.disconnect()),
  };

  function make({ id, options = undefined, habit = 'none' }) {
    const peer = new Peer(id, { config: { iceServers: [] }, ...options });
    peers.set(id, peer);
    const tell = (what) => {
      heard.push(`${id} ${what}`);
      record(`${id} ${what}`);
    };
    peer.on('open', () => openedAt.set(id, Date.now()));
    peer.on('open', (given) => tell(given === id ? 'open' : `open as ${given}`));
    peer.on('error', ({ type, message }) => {
      tell(type);
      record(`${id} error text`, message);
    });
    peer.on('disconnected', () => tell('disconnected'));
    peer.on('close', () => tell('close'));
    peer.on('connection', (line) => {
      line.on('data', (value) => line.send(value));
      line.on('close', () => record('line close'));
    });
    peer.on('call', (call) => {
      if (call.metadata?.room) return;
      call.answer(picture());
      call.on('close', () => record('call close'));
    });
    habits[habit](peer);
  }

  /** A stream that costs no camera. */
  function picture() {
    const canvas = Object.assign(document.createElement('canvas'), { width: 16, height: 16 });
    const context = canvas.getContext('2d');
    setInterval(() => context.fillRect(0, 0, 16, 16), 200);
    return canvas.captureStream(5);
  }

  async function connect({ from, to }) {
    const line = peers.get(from).connect(to);
    line.on('close', () => record('line close'));
    await new Promise((open) => { line.on('open', open); });
    return lines.push(line) - 1;
  }

  function echo({ number, value }) {
    return new Promise((done) => {
      lines[number].once('data', done);
      lines[number].send(value);
    });
  }

  /** Every line answers. */
  const echoAll = () => Promise.all(lines.map((line, number) => echo({ number, value: number })));

  async function call({ from, to }) {
    const call = peers.get(from).call(to, picture());
    call.on('close', () => record('call close'));
    await new Promise((seen) => { call.on('stream', seen); });
  }

  /** The safety number of a connection, or the reason why there is none. */
  async function number({ from, to, type }) {
    const connection = peers.get(from).connections[to].find((one) => one.type === type);
    return connection.safetyNumber().catch(String);
  }

  /** The reason why a connection that the page has closed has no safety number. */
  function numberOfClosed({ from, to }) {
    const [connection] = peers.get(from).connections[to];
    connection.close();
    return connection.safetyNumber().catch(String);
  }

  /** The public keys of a pipe that carries the connection. */
  const pipeKeys = ({ from, to }) => peers.get(from).connections[to][0].peerConnection[Symbol.for('peerbroker.pipeKeys')]?.map((key) => [...key]);

  /** The call is not yet answered when the page asks for its number. */
  function callAndAsk({ from, to }) {
    return peers.get(from).call(to, picture()).safetyNumber();
  }

  /** A Peer to which the broker sends what alice and bob say to each other: it passes all on. */
  function makeMallory() {
    const peer = new Peer('mallory', { config: { iceServers: [] } });
    peer.on('open', () => record('mallory open'));
    peer.on('connection', (one) => {
      const other = peer.connect('bob');
      const opened = new Promise((open) => { other.on('open', open); });
      for (const [from, to] of [[one, other], [other, one]]) {
        from.on('data', async (value) => {
          record('overheard', value);
          await opened;
          to.send(value);
        });
      }
    });
  }

  /** Everybody in this page enters; the room tells of changes from then on. */
  async function enter({ name, ids }) {
    for (const id of ids) {
      const room = await window.joinRoom(peers.get(id), name, { name: id });
      rooms.push(room);
      for (const type of ['joined', 'left', 'updated', 'closed']) room.on(type, ({ id: whose, error }) => record(`room ${type}`, `${whose ?? error} at ${id}`));
      room.on('message', ({ payload }) => record(`${id} message`, payload));
    }
  }

  const members = () => rooms.map((room) => [...room.members.keys()].sort());

  const say = (payload) => rooms[0].send(payload);

  /** All Peers of this page are open, and so is the socket of each. */
  const areOpen = () => new Promise((done) => {
    const look = () => {
      if ([...peers.values()].every(({ open, socket }) => open && socket._wsOpen())) done();
      else setTimeout(look, 20);
    };
    look();
  });

  /** The times at which the Peers of this page were open. */
  const times = () => [...openedAt.values()];

  return {
    next, must, count, story, make, connect, echo, echoAll, call, enter, members, say, number, numberOfClosed, pipeKeys, callAndAsk, makeMallory, areOpen, times,
    heard: () => heard,
    details: window.log.details,
    /** Messages that PeerJS keeps for connections that it does not know. */
    kept: (id) => peers.get(id)._lostMessages.size,
    willReconnect: (id) => peers.get(id).willReconnect,
    do: ({ id, method }) => { peers.get(id)[method](); },
    hold, release, endPauses,
    fire: (type) => { (type === 'visibilitychange' || type === 'resume' ? document : window).dispatchEvent(new Event(type)); },
  };
})();
