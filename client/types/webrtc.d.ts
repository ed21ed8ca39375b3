/** Data channels over the broker, for pages: the module `webrtc.mjs` that the broker serves. */

export interface PipeOptions {
  /** The address of the broker with its path, such as `https://broker.example/myapp/`. */
  readonly broker: string;
  /** `peerjs` by default. */
  readonly key?: string | undefined;
  /** The id of this page's peer, for keys that want a proof. */
  readonly peer?: string | undefined;
  /** The proof of that id; a function is asked before each connection. */
  readonly token?: string | (() => string | Promise<string>) | undefined;
}

/**
 * Makes `RTCPeerConnection` what libraries need: without WebRTC, or where it finds no path, data channels go over the broker, if the
 * other page has this too. Call it before a library looks for WebRTC. Called again, it changes the options of later connections.
 */
export declare function install(options: PipeOptions): void;

declare global {
  interface RTCPeerConnectionEventMap {
    /** From now on, data goes over the broker. */
    pipe: Event;
  }
}
