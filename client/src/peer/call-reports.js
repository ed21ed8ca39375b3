// Reports to the broker how each connection went, if its key wants that: one small text, without addresses.

import { bytesIn, candidatesIn, guessWhy, pairIn, placesOfServer, wayIn } from '../connection-stats.js';

export default function callReports() {
  // In milliseconds: until the second look at an open connection; between later ones; for the last one; a page that ends one sooner has not waited for it.
  const SOON = 1_000;
  const EVERY = 15_000;
  const LAST_LOOK = 1_000;
  const EARLY = 5_000;
  const MOST_STATES = 8;
  /** The keys that take none. */
  const off = new Set();
  /** @type {Map<object, Watched>} */
  const all = new Map();

  const kinds = (description) => [...new Set(candidatesIn(description).map(({ kind }) => kind))];

  class Watched {
    #began = performance.now();
    #openedAt;
    #states = [];
    #seen = {};
    #pc;
    #permissions = [];
    #timer;
    #end;
    peer;
    connection;
    isGone = false;
    isRefused = false;

    constructor(peer, connection) {
      Object.assign(this, { peer, connection });
      const { type } = connection;
      connection.on('iceStateChanged', (state) => {
        this.#note(state);
        if (type === 'media' && /^(connected|completed)$/.test(state)) this.#opened();
      });
      connection.on('open', () => this.#opened());
      // PeerJS closes its connection first, and then says so.
      const { close } = connection;
      connection.close = (...args) => {
        this.end();
        return close.apply(connection, args);
      };
      // It closes it next.
      connection.on('error', (error) => error.type === 'negotiation-failed' && this.#note('failed'));
      if (type === 'media') {
        for (const name of ['camera', 'microphone']) {
          // Not every browser knows these names.
          navigator.permissions?.query(/** @type {any} */ ({ name })).then((status) => this.#permissions.push(status), () => {});
        }
      }
    }

    #note(state) {
      if (this.#states.push(state) > MOST_STATES) this.#states.shift();
    }

    /** PeerJS forgets it when the connection ends. */
    get pc() {
      this.#pc = this.connection.peerConnection ?? this.#pc;
      return this.#pc;
    }

    get isOpen() {
      return this.#openedAt !== undefined;
    }

    #opened() {
      if (this.isOpen) return;
      this.#openedAt = performance.now();
      this.look();
      setTimeout(() => this.#end || this.look(), SOON);
      this.#timer = setInterval(() => this.look(), EVERY);
    }

    async look() {
      const { pc } = this;
      const places = placesOfServer(pc.remoteDescription);
      const report = await pc.getStats().catch(() => new Map());
      const pair = pairIn(report);
      if (!report.has(pair?.remoteCandidateId)) return;
      let [lost, came] = [0, 0];
      for (const { type, packetsLost = 0, packetsReceived = 0 } of report.values()) {
        if (type !== 'inbound-rtp') continue;
        lost += Math.max(packetsLost, 0);
        came += packetsReceived;
      }
      const { sent, received } = bytesIn(report);
      this.#seen = {
        way: wayIn(report, places),
        rtt_ms: Math.round(pair.currentRoundTripTime * 1000),
        // A connection that is being closed tells none.
        loss: lost + came > 0 ? lost / (lost + came) : this.#seen.loss,
        sent_bytes: sent,
        received_bytes: received,
      };
    }

    /** The facts at the end. PeerJS closes the connection next. */
    #known() {
      const { localDescription, remoteDescription } = this.pc ?? {};
      const { iceServers } = this.pc?.getConfiguration?.() ?? {};
      return { now: performance.now(), localDescription, remoteDescription, iceServers };
    }

    #outcome(known) {
      const [began, opened, now] = [this.#began, this.#openedAt, known.now].map(Math.round);
      if (this.isOpen) return { way: 'unknown', ...this.#seen, open_ms: opened - began, duration_ms: now - opened };
      const isDenied = !this.#pc && this.#permissions.some(({ state }) => state === 'denied');
      const isEarly = now - began < EARLY && !this.#states.includes('failed');
      return { reason: guessWhy({ isDenied, isEarly, isGone: this.isGone, isRefused: this.isRefused }, known) };
    }

    /** Takes a last look at a connection, and sends the report. */
    async end() {
      if (this.#end) return;
      this.#end = this.#known();
      if (this.isOpen) await Promise.race([this.look(), new Promise((late) => { setTimeout(late, LAST_LOOK); })]);
      this.send();
    }

    /** Sends the report, once. */
    send() {
      const { peer, connection } = this;
      if (!all.delete(connection)) return;
      clearInterval(this.#timer);
      const known = this.#end ?? this.#known();
      post(peer.options, {
        id: peer.id ?? peer._lastServerId,
        peer: connection.peer,
        connection: connection.connectionId,
        kind: connection.type,
        caller: !connection.options._payload,
        ...this.#outcome(known),
        states: this.#states,
        local: kinds(known.localDescription),
        remote: kinds(known.remoteDescription),
      });
    }
  }

  function post({ secure, host, port, path, key, referrerPolicy }, report) {
    const url = `${secure ? 'https' : 'http'}://${host}:${port}${path}${key}/reports`;
    if (off.has(url)) return;
    // As text, so that the browser does not ask first. It outlives the page.
    /** @type {RequestInit} */
    const request = { method: 'POST', body: JSON.stringify(report), keepalive: true, credentials: 'omit', referrerPolicy };
    fetch(url, request).then(({ status }) => status === 404 && off.add(url), () => {});
  }

  // A page that goes away waits for nothing.
  addEventListener('pagehide', () => all.forEach((watched) => watched.send()));

  return {
    watch: (peer, connection) => all.set(connection, new Watched(peer, connection)),

    /** The other peer is absent, or has left. */
    heard(peer, { type, src }) {
      if (type !== 'EXPIRE' && type !== 'LEAVE') return;
      for (const watched of all.values()) {
        if (watched.peer !== peer || watched.connection.peer !== src || watched.isOpen) continue;
        watched.isGone = true;
        watched.end();
      }
    },

    /** PeerJS does not tell whose description was refused. */
    refused(peer) {
      for (const watched of all.values()) if (watched.peer === peer) watched.isRefused = true;
    },
  };
}
