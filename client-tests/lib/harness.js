// Runs in the pages with a PeerJS release: one peer, which reports events to `log`.
//
// Written for every PeerJS since 0.3.14, so it uses only what all of them have.

window.harness = (() => {
  const { record, next, must, forget, count, story } = window.log;
  const lines = [];
  let peer;
  let latest;

  function start({ id, options }) {
    const all = { config: { iceServers: [] }, debug: 0, ...options };
    peer = id === undefined ? new Peer(all) : new Peer(id, all);
    peer.on('open', (given) => record('open', given));
    peer.on('error', (error) => {
      record('error', error.type);
      record('error text', error.message);
    });
    peer.on('disconnected', () => record('disconnected'));
    peer.on('close', () => record('close'));
    peer.on('connection', (line) => {
      record('connection', line.peer);
      latest = line;
      watchPipe(line);
      line.on('data', (value) => line.send(value));
    });
    peer.on('call', async (call) => {
      record('call', call.peer);
      watch(call);
      call.answer(await camera());
    });
  }

  async function reconnect() {
    forget();
    peer.reconnect();
    return must('open');
  }

  /** The same if the browser has not noticed yet that its connection to the broker is lost. */
  function renew() {
    if (!peer.disconnected) peer.disconnect();
    return reconnect();
  }

  /** From now on reconnects at once whenever the connection is lost; tells 'back', or 'failed'. */
  function stay() {
    peer.on('disconnected', () => reconnect().then(() => record('back'), ({ message }) => record('failed', message)));
  }

  /** Both at once, like pages that do not wait for `open`. */
  function startAndDial({ id, options, to }) {
    start({ id, options });
    return dial({ to });
  }

  /** Opens a data connection; the number is for `echo`. */
  async function connect({ to, options }) {
    const number = dial({ to, options });
    await must(opened(number));
    return number;
  }

  function dial({ to, options = undefined }) {
    const line = latest = peer.connect(to, options);
    const number = lines.push(line) - 1;
    watchPipe(line);
    line.on('open', () => record(opened(number)));
    line.on('data', (value) => record(heard(number), value));
    line.on('error', ({ type }) => record('line error', type));
    line.on('close', () => record('line close'));
    return number;
  }

  /** Records that a connection goes over the broker: webrtc.js says so. */
  const watchPipe = (line) => line.peerConnection?.addEventListener('pipe', () => record('pipe'));

  const hangUp = () => latest.close();

  // Each data connection has events of its own: one that a test has given up may still open.
  const opened = (number) => `line ${number} open`;
  const heard = (number) => `line ${number} data`;

  /** Sends a value and returns the echo of the other side. */
  async function echo({ number, value }) {
    lines[number].send(value);
    return must(heard(number));
  }

  /** The same with bytes, compared here: a megabyte need not travel to the test. They are a message, or in one. */
  async function echoBytes({ number, size, isRaw }) {
    const sent = Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) % 256);
    const answer = await echo({ number, value: isRaw ? sent.buffer : { bytes: sent.buffer } });
    const bytes = isRaw ? answer : answer.bytes;
    const back = new Uint8Array(bytes.buffer ?? bytes, bytes.byteOffset ?? 0, bytes.byteLength);
    return back.length === sent.length && back.every((byte, i) => byte === sent[i]);
  }

  /** Sends values without a pause, and returns the echoes up to that of the last one. */
  async function stream({ number, values }) {
    for (const value of values) lines[number].send(value);
    const echoes = [];
    do echoes.push(await must(heard(number))); while (echoes.at(-1) !== values.at(-1));
    return echoes;
  }

  const hashOf = async (bytes) => Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));

  /** From now on records the hash of each file that comes over the latest connection. */
  function hashFiles() {
    latest.on('data', async ({ file }) => file && record('file', await hashOf(file)));
  }

  /** Sends random bytes, and returns their hash. */
  async function sendFile({ number, size }) {
    const file = new Uint8Array(size);
    for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(file.subarray(at, at + 65_536));
    lines[number].send({ file: file.buffer });
    return hashOf(file);
  }

  const pulses = [];

  /** Opens data connections, sends on each of them all the time, and measures how long no echo comes. */
  async function pulse({ to, connections, every }) {
    for (let rest = connections; rest > 0; rest -= 1) {
      const line = latest = peer.connect(to);
      await new Promise((open) => { line.on('open', open); });
      const one = { line, last: performance.now(), longest: 0 };
      const note = () => { one.longest = Math.max(one.longest, performance.now() - one.last); };
      line.on('data', () => {
        note();
        one.last = performance.now();
      });
      line.on('close', note);
      pulses.push(one);
    }
    pulses.forEach((one) => { one.last = performance.now(); });
    setInterval(() => pulses.forEach(({ line }) => line.open && line.send(0)), every);
  }

  /** For each connection: `open`, the milliseconds since the last echo, and the most between two since the last call. */
  function pulsed() {
    return pulses.map((one) => {
      const { line, last, longest } = one;
      one.longest = 0;
      return { open: line.open, silent: performance.now() - last, longest };
    });
  }

  const camera = () => navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 320, height: 240 } });

  async function call(to) {
    watch(peer.call(to, await camera()));
  }

  function watch(call) {
    latest = call;
    call.on('close', () => record('call close'));
    call.on('stream', (stream) => window.log.watch(stream, call.peer));
  }

  /** From now on tells how the latest connection and the one to the broker fare, with the seconds from now. */
  function follow() {
    const { peerConnection } = latest;
    const began = performance.now();
    const tell = (what) => record(what, Math.round((performance.now() - began) / 100) / 10);
    peerConnection.addEventListener('iceconnectionstatechange', () => tell(`path ${peerConnection.iceConnectionState}`));
    latest.on('close', () => tell('connection closed'));
    peer.on('disconnected', () => tell('broker lost'));
  }

  /** The way of the latest connection. 0.3 calls it `pc`. */
  const way = () => window.wayOf(latest.peerConnection ?? latest.pc);

  /** The types of what `getStats` says of it. */
  const stats = async () => [...(await latest.peerConnection.getStats()).values()].map(({ type }) => type);

  /** For scripts of tests that run in the page. */
  const thePeer = () => peer;

  const list = () => new Promise((done) => {
    peer.on('error', (error) => done(error.type));
    peer.listAllPeers(done);
  });

  return {
    next, must, count, story, start, startAndDial, reconnect, renew, stay,
    connect, dial, hangUp, echo, echoBytes, stream, hashFiles, sendFile, pulse, pulsed, call, follow, way, stats, list, thePeer,
  };
})();
