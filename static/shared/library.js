import { broker } from './settings.js';
import { within } from './within.js';

const LIBRARY_WAIT = 15_000;

/**
 * Resolves to the global `name` of a library once its script has loaded.
 * @returns {Promise<any>}
 */
export async function loadLibrary(name, title) {
  if (!window[name] && document.readyState !== 'complete') {
    const loaded = new Promise((resolve) => window.addEventListener('load', resolve, { once: true }));
    await within(LIBRARY_WAIT, loaded, '').catch(() => {});
  }
  if (!window[name]) {
    throw new Error(
      `The ${title} library did not load. This peerbroker may have been built without it; the page then loads it ` +
        'from the internet. Connect to the internet, or use a build that includes it, and reload the page.',
    );
  }
  return window[name];
}

/** With the broker's webrtc.js, every browser has it. Data that goes over the broker is of the key. */
export async function requireWebRtc(key = broker.key) {
  const pipes = window[Symbol.for('peerbroker.pipes')];
  pipes?.use({ key: decodeURIComponent(String(key)) });
  await pipes?.coming?.catch(() => {});
  if (window.RTCPeerConnection) return;
  throw new Error(
    'WebRTC is not available in this browser. It may be turned off in the settings ' +
      '(on an iPhone: Lockdown Mode) or by an extension.',
  );
}
