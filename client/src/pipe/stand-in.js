// RTCPeerConnection where the browser has none: the part of W3C's interface that data needs.

import { EVENTS, addHandlers, answerOldPages } from './events.js';
import { PIPE_KEYS } from './sdp-line.js';
import { Session } from './session.js';

const DEFAULTS = { bundlePolicy: 'balanced', iceCandidatePoolSize: 0, iceServers: [], iceTransportPolicy: 'all', rtcpMuxPolicy: 'require' };

function noMedia() {
  return new DOMException('This browser has no WebRTC: webrtc.js carries data channels over the broker, but no sound and no pictures', 'NotSupportedError');
}

/** A copy, with defaults. @param {any} configuration */
function checked(configuration) {
  if (configuration !== undefined && configuration !== null && typeof configuration !== 'object') {
    throw new TypeError(`A configuration is an object, not ${configuration}`);
  }
  const set = Object.entries(configuration ?? {}).filter(([, value]) => value !== undefined);
  const whole = /** @type {any} */ ({ ...DEFAULTS, ...Object.fromEntries(set) });
  const servers = whole.iceServers.map((server) => ({ ...server, urls: [server.urls ?? server.url].flat() }));
  return { ...whole, iceServers: servers };
}

/** @param {{ broker: string, key: string, token?: any }} settings */
export function makeStandIn(settings) {
  class RTCPeerConnection extends EventTarget {
    #session = new Session(this, settings, true);
    #configuration;

    constructor(configuration = undefined) {
      super();
      this.#configuration = checked(configuration);
    }

    static generateCertificate() {
      return Promise.reject(noMedia());
    }

    get signalingState() { return this.#session.signalling.state; }
    get iceGatheringState() { return this.#session.iceGatheringState; }
    get iceConnectionState() { return this.#session.iceConnectionState; }
    get connectionState() { return this.#session.connectionState; }
    get localDescription() { return this.#session.signalling.local; }
    get remoteDescription() { return this.#session.signalling.remote; }
    get currentLocalDescription() { return this.#session.signalling.current.local; }
    get currentRemoteDescription() { return this.#session.signalling.current.remote; }
    get pendingLocalDescription() { return this.#session.signalling.pending.local; }
    get pendingRemoteDescription() { return this.#session.signalling.pending.remote; }
    get canTrickleIceCandidates() { return this.#session.signalling.remote ? true : null; }
    get sctp() { return this.#session.sctp; }

    createOffer(...given) {
      const isOld = typeof given[0] === 'function';
      return answerOldPages(this.#session.createOffer(isOld ? given[2] : given[0]), given[0], given[1]);
    }

    createAnswer(...given) {
      return answerOldPages(this.#session.createAnswer(), given[0], given[1]);
    }

    setLocalDescription(description = undefined, ...old) {
      return answerOldPages(this.#session.setLocal(description), old[0], old[1]);
    }

    setRemoteDescription(description, ...old) {
      return answerOldPages(this.#session.setRemote(description), old[0], old[1]);
    }

    addIceCandidate(candidate = undefined, ...old) {
      return answerOldPages(this.#session.addIceCandidate(candidate), old[0], old[1]);
    }

    createDataChannel(label, options = undefined) {
      if (arguments.length === 0) throw new TypeError('createDataChannel needs a label');
      return this.#session.createDataChannel(label, options);
    }

    getStats(...given) {
      const succeeded = given.find((value) => typeof value === 'function');
      return answerOldPages(Promise.resolve(this.#session.getStats()), succeeded, undefined);
    }

    /** For the safety number. */
    get [PIPE_KEYS]() { return this.#session.publicKeys; }

    getConfiguration() { return checked(this.#configuration); }
    setConfiguration(configuration) { this.#configuration = checked(configuration); }
    restartIce() { this.#session.restartIce(); }
    close() { this.#session.close(); }

    getSenders() { return []; }
    getReceivers() { return []; }
    getTransceivers() { return []; }
    addTrack() { throw noMedia(); }
    addTransceiver() { throw noMedia(); }
    addStream() { throw noMedia(); }
    removeTrack() { throw noMedia(); }
  }
  addHandlers(RTCPeerConnection, EVENTS);
  return RTCPeerConnection;
}
