// A client of PeerJS's protocol without a browser.

import { once } from 'node:events';
import { WebSocket } from 'ws';
import { within } from './within.mjs';

const open = new Set();

/** Ends all connections of this process. */
export function endSockets() {
  for (const socket of open) socket.terminate();
}

export class PeerSocket {
  #frames = [];
  #arrived = () => {};

  /** At a server's URL with its path, as `http://127.0.0.1:9000/myapp/`. */
  constructor(base, { id, token = `token of ${id}`, key = 'peerjs', ...options }) {
    const url = new URL('peerjs', base.replace(/^http/, 'ws'));
    for (const [name, value] of Object.entries({ key, id, token })) if (value !== null) url.searchParams.set(name, value);
    this.socket = new WebSocket(url, options);
    this.socket.on('message', (text) => {
      this.#frames.push(JSON.parse(String(text)));
      this.#arrived();
    });
    this.closed = once(this.socket, 'close').then(([code]) => code);
    open.add(this.socket);
    // A refused handshake is an error for those that wait.
    this.closed.catch(() => {}).finally(() => open.delete(this.socket));
  }

  /** A client that has its id. */
  static async open(base, options) {
    const one = new PeerSocket(base, options);
    await one.frame('OPEN');
    return one;
  }

  /** The next frame of a type; others before it are dropped. */
  frame(type) {
    const found = new Promise((resolve) => {
      this.#arrived = () => {
        while (this.#frames.length > 0) {
          const frame = this.#frames.shift();
          if (frame.type === type) {
            this.#arrived = () => {};
            return resolve(frame);
          }
        }
      };
      this.#arrived();
    });
    const over = this.closed.then((code) => {
      throw new Error(`closed with ${code} before ${type}`);
    });
    return within(`the frame ${type}`, Promise.race([found, over]));
  }

  send(message) {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  /** Resolves with the close code. */
  close() {
    this.socket.close();
    return this.end();
  }

  end() {
    return within('the end of the connection', this.closed);
  }
}
