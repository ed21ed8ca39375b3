// Types for `tsc`, which `make lint` runs over the scripts of the pages. No browser gets this.

// A page and its scripts are written together: the elements that a script asks for are there, and of the kind that it expects.
interface ParentNode {
  querySelector(selectors: string): any;
  querySelectorAll(selectors: string): NodeListOf<any>;
}

interface Document {
  getElementById(id: string): any;
}

// Events of our own carry a `detail`, and their targets differ.
interface EventTarget {
  addEventListener(type: string, listener: (event: any) => unknown, options?: AddEventListenerOptions | boolean): void;
}

// A promise has a value or none, and resolves to anything.
interface PromiseConstructor {
  new (executor: (resolve: (value?: any) => void, reject: (reason?: any) => void) => void): Promise<any>;
}

// Libraries of the pages, which set globals.
interface Window {
  Peer: any;
  SimplePeer: any;
  Yjs: any;
  qrcode: any;
  shareLink: any;
  qrCode: any;
}

// The server writes these in front of its scripts.
declare const lanHost: string | null;
declare const maxMessageBytes: number;
declare const qrcode: any;
