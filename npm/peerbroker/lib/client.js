// A client, as listeners of the events get it.
'use strict';

const { EventEmitter } = require('node:events');

class Client {
  /**
   * @param {string} id
   * @param {string} token
   */
  constructor(id, token) {
    this.id = id;
    this.token = token;
    /** @type {Socket | null} */
    this.socket = null;
    /** The last sign of life, which the connection notes. */
    this.sign = { at: Date.now() };
  }

  getId() {
    return this.id;
  }

  getToken() {
    return this.token;
  }

  getSocket() {
    return this.socket;
  }

  /** Sends anything that JSON can hold, as it is. */
  send(data) {
    this.socket?.send(JSON.stringify(data));
  }

  setSocket() {
    throw new Error('the program of peerbroker has the sockets of clients, so setSocket cannot replace one');
  }

  /** The time at which the client sent something, as `Date.now()` has it. */
  getLastPing() {
    return this.sign.at;
  }

  setLastPing(at) {
    this.sign.at = at;
  }
}

/** A connection of a client. The program has the real one: no frame of it is read here. */
class Socket extends EventEmitter {
  // As those of WebSockets.
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSING = 2;
  static CLOSED = 3;
  CONNECTING = 0;
  OPEN = 1;
  CLOSING = 2;
  CLOSED = 3;
  #program;
  #id;

  constructor(program, id, connection) {
    super();
    this.#program = program;
    this.#id = id;
    this.connection = connection;
    this.readyState = Socket.OPEN;
  }

  send(text) {
    if (this.readyState === Socket.OPEN) this.#tell({ do: 'send', text: String(text) });
  }

  close() {
    if (this.readyState !== Socket.OPEN) return;
    this.readyState = Socket.CLOSING;
    this.#tell({ do: 'close' });
  }

  terminate() {
    this.close();
  }

  /**
   * Answered at once, with `pong`: the program pings clients itself, and this connection ends when one does not answer.
   * @param {any[]} args are the data, true to mask it, and a callback, as those of `ws`; each may be missing
   */
  ping(...args) {
    const isOpen = this.readyState === Socket.OPEN;
    const done = args.find((arg) => typeof arg === 'function');
    const [data] = args.filter((arg) => arg !== done);
    setImmediate(() => {
      done?.(isOpen ? undefined : new Error('the connection is not open'));
      if (isOpen && this.readyState === Socket.OPEN) this.emit('pong', Buffer.from(String(data ?? '')));
    });
  }

  /** Notes the end of the connection. */
  end() {
    if (this.readyState === Socket.CLOSED) return;
    this.readyState = Socket.CLOSED;
    this.emit('close');
  }

  #tell(command) {
    this.#program.tell({ ...command, id: this.#id, connection: this.connection });
  }
}

module.exports = { Client, Socket };
