// The settings of the pipes of a page: the address of the broker, and the key.

/** @typedef {{ broker: string, key: string, peer?: string, token?: string | (() => string | Promise<string>) }} Settings */

/** @param {{ broker: string, key?: string, peer?: string, token?: Settings['token'] }} options @returns {Settings} */
export function settingsFrom({ broker, key = 'peerjs', peer = undefined, token = undefined } = /** @type {any} */ ({})) {
  return { broker: addressOf(broker), key, peer, token };
}

/** The settings that a script has from its own address and tag. */
export function settingsOfScript({ src = '', dataset = {} }, builtInKey = undefined) {
  if (!/^https?:/.test(src)) {
    console.warn('This script cannot tell its own address, so no data goes over the broker: load it with <script src>, or call install of webrtc.mjs');
    return undefined;
  }
  const { searchParams } = new URL(src);
  const of = (name) => searchParams.get(name) ?? dataset[name];
  return settingsFrom({ broker: new URL('.', src).href, key: of('key') ?? builtInKey ?? undefined, peer: of('peer'), token: of('token') });
}

/** The settings of a Peer of PeerJS, which writes its id, key and token into addresses as they are. */
export function settingsOfPeer({ id, options: { secure, host, port, path, key, token } }) {
  const read = (text) => text && new URLSearchParams(`it=${text}`).get('it');
  return { broker: `${secure ? 'https' : 'http'}://${host}:${port}${path}`, key: read(key), peer: read(id), token: read(token) };
}

function addressOf(broker) {
  if (typeof broker !== 'string') throw new TypeError(`install({ broker }) needs the address of a broker, not ${broker}`);
  const url = new URL(broker, globalThis.location?.href);
  url.protocol = url.protocol.replace('ws', 'http');
  if (!/^https?:$/.test(url.protocol)) throw new TypeError(`The address of a broker begins with https:// or http://, not ${url.protocol}`);
  url.search = '';
  url.hash = '';
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url.href;
}
