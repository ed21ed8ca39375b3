// A page with one PeerJS peer, seen from a test. All waiting happens in the page (harness.js).

import { within } from './within.mjs';

export class Client {
  /** What went over the peer's WebSocket, in order: `{way: 'sent' | 'received', type, …}`. Chromium only. */
  frames = [];
  #page;
  #frameWatchers = new Set();

  /** Loads the page; the peer itself starts with `open` or `start`. */
  static async load(page, url) {
    const client = new Client(page);
    await page.goto(url);
    return client;
  }

  constructor(page) {
    this.#page = page;
    // Firefox never emits this.
    page.on('websocket', (socket) => {
      const note = (way) => ({ payload }) => {
        this.frames.push({ way, ...JSON.parse(payload) });
        for (const watcher of this.#frameWatchers) watcher();
      };
      socket.on('framesent', note('sent'));
      socket.on('framereceived', note('received'));
    });
  }

  #ask(method, argument) {
    return this.#page.evaluate(([name, value]) => window.harness[name](value), [method, argument]);
  }

  /** `new Peer(id, …)` at a server or proxy, without waiting. */
  start(server, id, options = {}) {
    const { host, port, secure = false } = server;
    return this.#ask('start', { id, options: { host, port, secure, path: '/', ...options } });
  }

  /** The same, and waits for `open`; resolves with the id. */
  async open(server, id, options) {
    await this.start(server, id, options);
    return this.must('open');
  }

  /** Waits for the next event of one of these names: `{name, detail}`. */
  next(...names) {
    return this.#ask('next', names);
  }

  /** Waits for one event, failing at once if the peer does; resolves with its detail. */
  must(name) {
    return this.#ask('must', name);
  }

  /** How many events of this name there were, waited for or not. */
  count(name) {
    return this.#ask('count', name);
  }

  reconnect() {
    return this.#ask('reconnect');
  }

  /** Starts a data connection without waiting. */
  dial(to, options) {
    return this.#ask('dial', { to, options });
  }

  /** Opens a data connection to a client, which echoes what it gets. */
  async connect(to, options) {
    const number = await this.#ask('connect', { to, options });
    return {
      echo: (value) => this.#ask('echo', { number, value }),
      /** Whether that many bytes came back unharmed. */
      echoBytes: (size) => this.#ask('echoBytes', { number, size }),
    };
  }

  /** Calls with camera and microphone; both sides tell a 'moving picture'. */
  call(to) {
    return this.#ask('call', to);
  }

  /** `listAllPeers()`: the list, or the type of the error. */
  list() {
    return this.#ask('list');
  }

  story() {
    return this.#ask('story');
  }

  /** Waits until a frame of this type was sent or received. Chromium only. */
  frame(way, type) {
    return within(15_000, `${type} to be ${way}`, new Promise((found) => {
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

  close() {
    return this.#page.close();
  }
}
