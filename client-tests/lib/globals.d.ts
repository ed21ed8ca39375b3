// Types for `tsc`: globals that tests and released libraries set in pages.

interface Window {
  [name: string]: any;
}

declare const Peer: any;
declare const SimplePeer: any;
declare const peerjs: any;

// Servers of tests listen at a port, and ask for it once they do.
declare module 'node:net' {
  interface Server {
    address(): AddressInfo;
  }
}
