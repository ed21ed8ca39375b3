// Brings a Peer back when its WebSocket to the broker is lost: with the same id and token, for ever, unless the page disconnects it
// or the broker refuses it for good. PeerJS leaves that to the page, so pages that call `reconnect()` have to work as well.

import { brokerOf } from './broker-of.js';

export function reconnects() {
  // In milliseconds: pauses before attempts; for OPEN, longer than the broker lets a client wait for an id; for an answer to a probe.
  const SHORTEST = 500;
  const LONGEST = 30_000;
  const OPEN_WAIT = 20_000;
  const PROBE_WAIT = 5_000;
  /** Browsers tell of a socket that ended in their sleep only after they have told of its end. */
  const AWAKE = 5_000;
  /** Failed attempts between two questions for the reason, which a browser hides if a WebSocket gets an HTTP status. */
  const ATTEMPTS = 4;
  /** Close codes after which the same client would only be closed again. */
  const FINAL_CODES = new Set([1002, 1007, 1009, 4001, 4004, 4005, 4008, 4009]);
  /** The refusals that pass. All other texts are final. */
  const PASSING = new Set([
    'Server has reached its concurrent user limit',
    'Server is not available at the moment',
    'Server is stopping',
  ]);
  const BANNED = 'This address is banned';
  /** Errors before which the socket has ended, or after which PeerJS ends it. */
  const OF_SOCKET = new Set(['network', 'server-error', 'unavailable-id', 'invalid-key', 'socket-error', 'socket-closed']);
  /** The connection id of a message to oneself, which tells if the socket is alive. No browser answers that. */
  const PROBE = 'peerjs.js';

  /** @type {Set<Reconnector>} */
  const all = new Set();
  const byPeer = new WeakMap();
  /** The one whose page is told of a loss just now. */
  let telling;

  class Reconnector {
    #peer;
    #socket;
    #timer;
    #probeTimer;
    #isWanted = true;
    #lostAt;
    #endedAt;
    #wokeAt = -Infinity;
    #failed = 0;
    /** PeerJS disconnects the Peer next, and not the page. */
    #isLosing = false;
    #reason = '';
    wasLost = false;
    /** The page has not called `reconnect()` for its present connection. */
    #isBackAlone = false;

    constructor(peer, socket) {
      this.#peer = peer;
      this.#socket = socket;
      const { start } = socket;
      socket.start = (...args) => {
        const before = socket._socket;
        start.apply(socket, args);
        if (socket._socket !== before) this.#watch(socket._socket);
      };
    }

    #watch(webSocket) {
      const { onclose } = webSocket;
      webSocket.onclose = (event) => {
        this.#ended();
        this.#reason = event.reason;
        if (FINAL_CODES.has(event.code)) this.#isWanted = false;
        try {
          onclose(event);
        } finally {
          // A handler of the page has thrown an error, so PeerJS has got no further.
          if (this.#peer.open && !this.#socket._socket) this.#disconnect();
          this.goOn();
        }
      };
      this.#after(OPEN_WAIT, () => this.#lose());
    }

    #after(pause, action) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        action();
      }, pause);
    }

    #ended() {
      clearTimeout(this.#timer);
      clearTimeout(this.#probeTimer);
      this.#timer = this.#probeTimer = undefined;
      this.wasLost = true;
      this.#endedAt = Date.now();
      this.#lostAt ??= this.#endedAt;
    }

    #disconnect() {
      this.#isLosing = true;
      this.#peer.disconnect();
    }

    /** A socket that is silent has ended, although no browser says so. */
    #lose() {
      this.#socket._socket?.onclose({ code: 1006, reason: '' });
    }

    /** Half of the time away at most, so a short restart is over soon, and a long outage costs few attempts. */
    #pause() {
      if (Date.now() - this.#wokeAt < AWAKE) {
        this.#wokeAt = -Infinity;
        return 0;
      }
      const most = Math.min(Math.max((Date.now() - this.#lostAt) / 2, 2 * SHORTEST), LONGEST);
      return most * (1 + Math.random()) / 2;
    }

    #attempt() {
      const { id, _lastServerId: last, options } = this.#peer;
      this.#socket.start(id ?? last, options.token);
    }

    get willReconnect() {
      return this.#isWanted && this.#lostAt !== undefined && !this.#peer.destroyed;
    }

    get #isLost() {
      return this.willReconnect && !this.#peer.open;
    }

    /** Plans the next attempt, unless one is planned or under way. */
    goOn() {
      if (this.#peer.destroyed) all.delete(this);
      if (!this.#isLost || this.#timer || this.#socket._socket) return;
      this.#after(this.#pause(), () => this.#attempt());
      this.#failed += 1;
      if (this.#failed % ATTEMPTS === 0) this.#askWhy();
    }

    async #askWhy() {
      const { key, referrerPolicy } = this.#peer.options;
      const text = await fetch(`${brokerOf(this.#peer.options)}${key}/id`, { cache: 'no-store', referrerPolicy }).then((answer) => answer.text(), () => '');
      if (this.#isLost && text.trim() === BANNED) this.#peer._abort('server-error', BANNED);
    }

    /** The page calls `reconnect()`. Returns true if an attempt is under way, or planned because the last one has only just failed. */
    wanted() {
      this.#isWanted = true;
      all.add(this);
      if (this.#socket._socket) return true;
      if (Date.now() - this.#endedAt < SHORTEST) {
        this.goOn();
        return true;
      }
      clearTimeout(this.#timer);
      this.#timer = undefined;
      return false;
    }

    opened() {
      clearTimeout(this.#timer);
      this.#timer = this.#lostAt = undefined;
      this.#failed = 0;
      // During its own attempts the Peer stays disconnected, so that each loss is told once.
      this.#isBackAlone = this.#peer.disconnected;
      if (this.#isBackAlone) {
        this.#peer._disconnected = false;
        this.#peer._id = this.#peer._lastServerId;
      }
    }

    /** True if a message is the answer to a probe. */
    heard({ src, payload }) {
      clearTimeout(this.#probeTimer);
      this.#probeTimer = undefined;
      return src !== undefined && src === this.#peer.id && payload?.connectionId === PROBE;
    }

    /** PeerJS reports an error: `report` calls the page. */
    tell(type, error, report) {
      const isOfSocket = OF_SOCKET.has(type);
      if (isOfSocket) this.#ended();
      const isPassing = type === 'network' || type === 'unavailable-id' || PASSING.has(error);
      if (isOfSocket && !isPassing) this.#isWanted = false;
      const text = type === 'network' && this.#reason ? `${error} It said: ${this.#reason}` : error;
      if (isOfSocket) this.#during(() => report(text));
      else report(text);
      this.#isLosing = isOfSocket;
    }

    /** The page or PeerJS disconnects the Peer. */
    left(disconnect) {
      const isLosing = this.#isLosing;
      this.#isLosing = false;
      if (!isLosing) this.stop();
      this.#during(disconnect);
      // PeerJS leaves it open if the Peer was disconnected before.
      if (this.#peer.disconnected) this.#socket.close();
    }

    #during(call) {
      const before = telling;
      telling = this;
      try {
        call();
      } finally {
        telling = before;
      }
    }

    stop() {
      all.delete(this);
      this.#isWanted = false;
      clearTimeout(this.#timer);
      clearTimeout(this.#probeTimer);
      this.#timer = this.#probeTimer = this.#lostAt = this.#endedAt = undefined;
      this.#isBackAlone = false;
    }

    /** The page has made another Peer in place of this one, as it has to with released PeerJS. */
    giveWay() {
      this.stop();
      this.#peer._disconnected = true;
      this.#peer._open = false;
      this.#socket.close();
    }

    isReplacedBy(other) {
      const broker = ({ id, _lastServerId: last, options: { host, port, path, key } }) => JSON.stringify([id ?? last, host, port, path, key]);
      return (this.#isLost || this.#isBackAlone) && other !== this.#peer && broker(other) === broker(this.#peer);
    }

    awake(isOnline) {
      this.#wokeAt = Date.now();
      if (this.#peer.open) this.#probe();
      if (!this.#isLost) return;
      // Without a network, an attempt may hang.
      if (isOnline) this.#lose();
      if (!this.#socket._socket) this.#after(0, () => this.#attempt());
    }

    #probe() {
      if (this.#probeTimer) return;
      this.#probeTimer = setTimeout(() => this.#lose(), PROBE_WAIT);
      this.#socket.send({ type: 'CANDIDATE', dst: this.#peer.id, payload: { connectionId: PROBE } });
    }
  }

  const wake = (isOnline) => all.forEach((each) => each.awake(isOnline));
  addEventListener('online', () => wake(true));
  addEventListener('pageshow', () => wake(false));
  document.addEventListener('resume', () => wake(false));
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && wake(false));

  return {
    of: (peer) => byPeer.get(peer),

    watch(peer, socket) {
      if (telling) telling.stop();
      if (peer.options.autoReconnect === false) return;
      byPeer.set(peer, new Reconnector(peer, socket));
    },

    replaceBy(peer) {
      for (const each of all) if (each.isReplacedBy(peer)) each.giveWay();
    },
  };
}
