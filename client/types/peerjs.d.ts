/** Adds to the types of npm's `peerjs` what the broker's peerjs.js can do. */
import 'peerjs';

declare module 'peerjs' {
  interface PeerOptions {
    /** False: the page calls `reconnect()` itself. */
    autoReconnect?: boolean;
  }
  interface Peer {
    /** In `disconnected` and later: false if the broker has refused the peer for good, or the page has disconnected it. */
    readonly willReconnect: boolean;
  }
  interface DataConnection {
    /** Twelve digits, the same on both pages if nobody stands between them. */
    safetyNumber(): Promise<string>;
  }
  interface MediaConnection {
    safetyNumber(): Promise<string>;
  }
}
