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

  getLastPing() {
    throw new Error('the program of peerbroker looks after silent clients, so there is no getLastPing: set alive_timeout');
  }

  setLastPing() {
    throw new Error('the program of peerbroker looks after silent clients, so there is no setLastPing: set alive_timeout');
  }
}

/** A connection of a client. The program has the real one: no frame of it is read here. */
class Socket extends EventEmitter {
  #program;
  #id;

  constructor(program, id, connection) {
    super();
    this.#program = program;
    this.#id = id;
    this.connection = connection;
    // As those of WebSockets: open, closing, closed.
    this.readyState = 1;
  }

  send(text) {
    if (this.readyState === 1) this.#program.tell({ do: 'send', id: this.#id, text: String(text) });
  }

  close() {
    if (this.readyState !== 1) return;
    this.readyState = 2;
    this.#program.tell({ do: 'close', id: this.#id, connection: this.connection });
  }

  terminate() {
    this.close();
  }

  /** Notes the end of the connection. */
  end() {
    this.readyState = 3;
    this.emit('close');
  }
}

module.exports = { Client, Socket };
