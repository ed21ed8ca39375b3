// Pipes for scripts of the broker that most pages load for other things: webrtc.js is loaded when a connection needs it.

import { PIPES, enable } from './enable.js';
import { settingsOfScript } from './settings.js';

/** @param {any} script the element of the script that has this in it, or only its `src` */
export default function usePipes(script, builtInKey) {
  const settings = settingsOfScript(script ?? {}, builtInKey);
  if (!settings || PIPES in globalThis) return;
  const src = `${settings.broker}webrtc.js`;
  let isAsked = false;
  let resolve;
  let reject;
  const loaded = new Promise((...both) => { [resolve, reject] = both; });
  loaded.catch(() => {});
  const failed = () => {
    if (source.now) return;
    const text = `${src} did not load, so no data goes over the broker. If a policy of the page forbids it, take peerjs.all.js`;
    console.warn(text);
    reject(new Error(text));
  };
  /** @type {import('./enable.js').Source} */
  const source = {
    now: undefined,
    load() {
      if (!isAsked) insert(src, script, failed);
      isAsked = true;
      return loaded;
    },
    arrived(engine) {
      if (source.now) return;
      source.now = engine;
      engine.complete(settings);
      isAsked = true;
      resolve(engine);
    },
  };
  enable(settings, source);
}

/** The scripts of a page without WebRTC need it at once: where the browser can, it loads the new script before them. */
function insert(src, { async: isAsync = true, defer = true, nonce = '' }, failed) {
  const { scripts, readyState } = document;
  const isBefore = !globalThis.RTCPeerConnection && readyState === 'loading' && !isAsync && !defer;
  if (isBefore) document.write(`<script src="${src}" nonce="${nonce}"></script>`);
  let script = isBefore ? [...scripts].find((written) => written.src === src) : undefined;
  if (!script) {
    script = Object.assign(document.createElement('script'), { src, nonce });
    (document.head ?? document.documentElement).append(script);
  }
  script.onload = failed;
  script.onerror = failed;
}
