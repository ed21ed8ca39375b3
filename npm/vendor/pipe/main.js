// `<script src="https://broker.example/webrtc.js?key=…"></script>`: data goes over the broker that serves this file.

import { install } from './install.js';

const { src } = /** @type {HTMLScriptElement} */ (document.currentScript);
const { searchParams } = new URL(src);
install({
  broker: new URL('.', src).href,
  key: searchParams.get('key') ?? undefined,
  token: searchParams.get('token') ?? undefined,
});
