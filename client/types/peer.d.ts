/**
 * A `Peer` for a broker: with its ICE servers, reconnecting, ICE restarts and safety numbers. What a page passes to `new Peer` wins.
 * @param library npm's `peerjs`: `import * as peerjs from 'peerjs'`
 * @param broker the address of the broker with its path, such as `https://broker.example/myapp/`
 */
export declare function presetPeer<Library extends { Peer: abstract new (...args: any) => any; util: any }>(
  library: Library,
  broker: string,
  options?: {
    /** `peerjs` by default. */
    key?: string;
    /** False: the page has ICE servers of its own. */
    iceServers?: boolean;
    /** True for a key that takes call reports. */
    reports?: boolean;
  },
): Library['Peer'];
