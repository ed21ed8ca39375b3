// Runs in every page under test: one PeerJS peer, and a log of what happened to it.
//
// Tests never poll. They ask for the next event of a name, which may have happened already.
// Written for every PeerJS since 0.3.14, so it uses only what all of them have.

window.harness = (() => {
  const PATIENCE = 15_000;
  const log = [];
  const lines = [];
  let peer;
  const waiting = new Set();

  function record(name, detail) {
    log.push({ name, detail, taken: false });
    waiting.forEach((look) => look());
  }

  const story = () => log.map(({ name, detail }) => [name, detail].join(' ').trim()).join(', ') || 'nothing';

  /** The first event of one of these names that no test has taken yet. */
  function next(names) {
    return new Promise((found, failed) => {
      const look = () => {
        const event = log.find((candidate) => !candidate.taken && names.includes(candidate.name));
        if (!event) return;
        event.taken = true;
        waiting.delete(look);
        clearTimeout(late);
        found({ name: event.name, detail: event.detail });
      };
      const late = setTimeout(() => {
        waiting.delete(look);
        failed(new Error(`no ${names.join(' or ')} within ${PATIENCE} ms; seen: ${story()}`));
      }, PATIENCE);
      waiting.add(look);
      look();
    });
  }

  /** Waits for one event; a failure of the peer in the meantime is the failure of the test. */
  async function must(name) {
    const event = await next([name, 'error', 'close']);
    if (event.name !== name) throw new Error(`${event.name} instead of ${name}; seen: ${story()}`);
    return event.detail;
  }

  const forget = () => log.forEach((event) => { event.taken = true; });

  function start({ id, options }) {
    const all = { config: { iceServers: [] }, debug: 0, ...options };
    peer = id === undefined ? new Peer(all) : new Peer(id, all);
    peer.on('open', (given) => record('open', given));
    peer.on('error', (error) => record('error', error.type));
    peer.on('disconnected', () => record('disconnected'));
    peer.on('close', () => record('close'));
    peer.on('connection', (line) => {
      record('connection', line.peer);
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

  /** Opens a data connection; the number is for `echo`. */
  async function connect({ to, options }) {
    const number = dial({ to, options });
    await must('line open');
    return number;
  }

  function dial({ to, options }) {
    const line = peer.connect(to, options);
    line.on('open', () => record('line open'));
    line.on('data', (value) => record('data', value));
    return lines.push(line) - 1;
  }

  /** Sends a value and hands back what the other side, which echoes, made of it. */
  async function echo({ number, value }) {
    lines[number].send(value);
    return must('data');
  }

  /** The same with bytes, compared here: a megabyte need not travel to the test. */
  async function echoBytes({ number, size }) {
    const sent = Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) % 256);
    const { bytes } = await echo({ number, value: { bytes: sent.buffer } });
    const back = new Uint8Array(bytes.buffer ?? bytes, bytes.byteOffset ?? 0, bytes.byteLength);
    return back.length === sent.length && back.every((byte, i) => byte === sent[i]);
  }

  const camera = () => navigator.mediaDevices.getUserMedia({ audio: true, video: true });

  async function call(to) {
    watch(peer.call(to, await camera()));
  }

  function watch(call) {
    call.on('stream', (stream) => {
      const video = document.body.appendChild(document.createElement('video'));
      video.muted = true;
      video.srcObject = stream;
      // The second frame: one could be a poster.
      video.requestVideoFrameCallback(() => {
        video.requestVideoFrameCallback(() => record('moving picture', call.peer));
      });
      video.play();
    });
  }

  const list = () => new Promise((done) => {
    peer.on('error', (error) => done(error.type));
    peer.listAllPeers(done);
  });

  const count = (name) => log.filter((event) => event.name === name).length;

  return { next, must, start, reconnect, connect, dial, echo, echoBytes, call, list, count, story };
})();
