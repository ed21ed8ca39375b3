import { within } from './within.js';

const LIBRARY_WAIT = 15_000;

/** What the script of a library puts on `window` under this name, once it is there. */
export async function loadLibrary(name, title) {
  if (!window[name] && document.readyState !== 'complete') {
    const loaded = new Promise((resolve) => window.addEventListener('load', resolve, { once: true }));
    await within(LIBRARY_WAIT, loaded, '').catch(() => {});
  }
  if (!window[name]) {
    throw new Error(
      `The ${title} library did not load. A peerbroker that was built without it takes it from the ` +
        'internet: connect, or use a build that includes it, then reload the page.',
    );
  }
  return window[name];
}

export function requireWebRtc() {
  if (window.RTCPeerConnection) return;
  throw new Error(
    'WebRTC is not available in this browser. It may be turned off in the settings ' +
      '(on an iPhone: Lockdown Mode) or by an extension.',
  );
}
