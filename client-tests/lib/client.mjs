// A page with one PeerJS peer, seen from a test. The script is harness.js.

import { Page } from './page.mjs';
import { within } from './within.mjs';

export class Client extends Page {
  /** The frames of the peer's WebSocket, in order: `{way: 'sent' | 'received', type, …}`. Chromium only. */
  frames = [];
  #frameWatchers = new Set();

  constructor(page, release) {
    super(page, release);
    // Firefox never emits this.
    this.listen('websocket', (socket) => {
      const note = (way) => ({ payload }) => {
        // Those of a pipe are bytes.
        if (typeof payload !== 'string') return;
        this.frames.push({ way, ...JSON.parse(payload) });
        for (const watcher of this.#frameWatchers) watcher();
      };
      socket.on('framesent', note('sent'));
      socket.on('framereceived', note('received'));
    });
  }

  /** `new Peer(id, …)` at a server or proxy, without waiting. */
  start(server, id, options) {
    return this.ask('start', { id, options: at(server, options) });
  }

  /** The same, and waits for `open`; resolves with the id. */
  async open(server, id, options) {
    await this.start(server, id, options);
    return this.must('open');
  }

  /** `new Peer(id, …)` and at once `connect(to)`; resolves when the data connection is open. */
  async openWith(to, server, id) {
    const number = await this.ask('startAndDial', { id, to, options: at(server) });
    await this.must(`line ${number} open`);
    return this.#line(number);
  }

  reconnect() {
    return this.ask('reconnect');
  }

  /** The same if the browser has not noticed yet that the connection is lost. */
  renew() {
    return this.ask('renew');
  }

  /** From now on tells 'path …' with each state of ICE, 'connection closed' and 'broker lost', with the seconds from now. */
  follow() {
    return this.ask('follow');
  }

  /** Loads the PeerJS of a broker in place of the page's own. */
  loadServed({ host, port }) {
    return this.run((url) => new Promise((done, failed) => {
      document.head.append(Object.assign(document.createElement('script'), { src: url, onload: done, onerror: failed }));
    }), `http://${host}:${port}/peerjs.js`);
  }

  /** Has the page reconnect whenever it is disconnected; then it tells 'back', or 'failed'. */
  stay() {
    return this.ask('stay');
  }

  /** Starts a data connection without waiting; resolves with its number, n: it tells 'line n open'. */
  dial(to, options) {
    return this.ask('dial', { to, options });
  }

  /** Opens a data connection to a client, which echoes what it gets. */
  async connect(to, options) {
    return this.#line(await this.ask('connect', { to, options }));
  }

  #line(number) {
    return {
      echo: (value) => this.ask('echo', { number, value }),
      /** Resolves to true if that many bytes came back unharmed. */
      echoBytes: (size, isRaw = false) => this.ask('echoBytes', { number, size, isRaw }),
      /** Sends values without a pause; resolves with the echoes up to that of the last one. */
      stream: (values) => this.ask('stream', { number, values }),
      /** Sends random bytes; resolves with their hash. The other side tells 'file' with its own, after `hashFiles`. */
      sendFile: (size) => this.ask('sendFile', { number, size }),
    };
  }

  /** Opens data connections to a client, which echoes, and sends on each of them all the time. */
  pulse(to, connections, every = 50) {
    return this.ask('pulse', { to, connections, every });
  }

  /** For each of these connections: `open`, the milliseconds since its last echo, and the most between two since the last call. */
  pulsed() {
    return this.ask('pulsed');
  }

  /** Calls with camera and microphone; both sides tell a 'moving picture'. */
  call(to) {
    return this.ask('call', to);
  }

  /** The way of the latest data connection or call: `{local, remote}`, each with `type`, `address`, `port` and `protocol`. */
  way() {
    return this.ask('way');
  }

  /** The types of what `getStats` says of the latest data connection. */
  stats() {
    return this.ask('stats');
  }

  /** From now on tells 'file', with its hash, for each file that comes over the latest data connection. */
  hashFiles() {
    return this.ask('hashFiles');
  }

  /** `listAllPeers()`: the list, or the type of the error. */
  list() {
    return this.ask('list');
  }

  /** Waits until a frame of this type was sent or received. Chromium only. */
  frame(way, type) {
    return within(`${type} to be ${way}`, new Promise((found) => {
      const look = () => {
        const frame = this.frames.find((candidate) => candidate.way === way && candidate.type === type);
        if (!frame) return;
        this.#frameWatchers.delete(look);
        found(frame);
      };
      this.#frameWatchers.add(look);
      look();
    }));
  }

  received(type) {
    return this.frames.filter((frame) => frame.way === 'received' && frame.type === type);
  }
}

function at({ host, port, secure = false }, options) {
  return { host, port, secure, path: '/', ...options };
}
