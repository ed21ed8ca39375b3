// `<script src="https://broker.example/webrtc.js"></script>`: data goes over the broker that serves this file. Other scripts of the
// broker have this in them. There, and where its built-in key has another name, it writes `{ src, dataset }` for `document.currentScript`.

import { install } from './install.js';

const { src = '', dataset = {} } = /** @type {HTMLScriptElement} */ (document.currentScript ?? {});
const isKnown = /^https?:/.test(src);
// An earlier installation, by the page or a script in front, stays: the page may have named its key there.
if (isKnown && !(Symbol.for('peerbroker.pipes') in globalThis)) {
  const { searchParams } = new URL(src);
  const of = (name) => searchParams.get(name) ?? dataset[name];
  install({ broker: new URL('.', src).href, key: of('key'), peer: of('peer'), token: of('token') });
}
if (!isKnown) console.warn('This script cannot tell its own address, so no data goes over the broker: load it with <script src>, or call install of webrtc.mjs');
