import { brokerOf } from './broker-of.js';

// The ICE servers of a broker: `list`, in the form that RTCPeerConnection takes.
class IceServers {
  // In milliseconds: a connection waits this long for the list; a request may take this long; the pause after a failure.
  static WAIT = 3_000;
  static TIMEOUT = 15_000;
  static RETRY = 60_000;

  list = [];
  /** @type {Promise<void> | undefined} */
  waitingForList;
  validUntil = 0;
  askAgainAt = 0;

  constructor(url, referrerPolicy) {
    this.url = url;
    this.referrerPolicy = referrerPolicy;
    this.renew();
  }

  /** Asks again when half of the list's lifetime is over, so credentials do not end before the next connection. No timers: they stop in sleeping pages. */
  renew() {
    if (Date.now() < this.askAgainAt) return;
    this.askAgainAt = Infinity;
    const asked = this.ask();
    const waiting = Promise.race([asked, new Promise((done) => { setTimeout(done, IceServers.WAIT); })]);
    this.waitingForList = waiting.then(() => { this.waitingForList = undefined; });
  }

  /** A promise that a new connection has to wait for; undefined if the list is valid, or none will arrive soon. */
  waiting() {
    this.renew();
    return Date.now() < this.validUntil ? undefined : this.waitingForList;
  }

  /** Never rejects: without a new list, connections keep the servers that they had before. */
  async ask() {
    const started = Date.now();
    try {
      const response = await fetch(this.url, { cache: 'no-store', referrerPolicy: this.referrerPolicy, signal: AbortSignal.timeout(IceServers.TIMEOUT) });
      const { iceServers, ttl } = await response.json();
      if (!response.ok || !Array.isArray(iceServers) || !(ttl > 0)) throw new Error(`status ${response.status}`);
      this.list = iceServers;
      this.validUntil = started + ttl * 1000;
      this.askAgainAt = started + ttl * 500;
    } catch {
      this.askAgainAt = Date.now() + IceServers.RETRY;
      this.validUntil = Math.max(this.validUntil, this.askAgainAt);
    }
  }
}

// Gives Peers the ICE servers of their brokers. Peers of one broker and key share a list.
export function iceServersOfPeers() {
  const byUrl = new Map();
  const byPeer = new WeakMap();
  return {
    of: (peer) => byPeer.get(peer),

    /** Puts the servers into the configuration that PeerJS reads for each connection. */
    presetIn(peer) {
      const { key, referrerPolicy } = peer.options;
      const url = `${brokerOf(peer.options)}${key}/ice`;
      if (!byUrl.has(url)) byUrl.set(url, new IceServers(url, referrerPolicy));
      const servers = byUrl.get(url);
      byPeer.set(peer, servers);
      let { config } = peer.options;
      Object.defineProperty(peer.options, 'config', {
        get() {
          servers.renew();
          // If the broker has none, PeerJS keeps its own.
          return servers.list.length > 0 && byPeer.has(peer) ? { ...config, iceServers: servers.list } : config;
        },
        // The page has chosen its own meanwhile.
        set(chosen) {
          config = chosen;
          byPeer.delete(peer);
        },
        enumerable: true,
        configurable: true,
      });
    },

    /** A connection that begins before the list has arrived gathers candidates only after that. */
    awaitIn(connection, peer) {
      const waiting = byPeer.get(peer)?.waiting();
      const { peerConnection } = connection ?? {};
      if (!waiting || !peerConnection) return connection;
      // Gathering begins with the local description.
      peerConnection.setLocalDescription = async (...description) => {
        await waiting;
        delete peerConnection.setLocalDescription;
        // The page has closed it, and expects no error.
        if (peerConnection.signalingState === 'closed') return new Promise(() => {});
        peerConnection.setConfiguration(peer.options.config);
        return peerConnection.setLocalDescription(...description);
      };
      return connection;
    },
  };
}
