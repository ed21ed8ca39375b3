// RTCSessionDescription and RTCIceCandidate, where the browser has none.

const TYPES = ['offer', 'pranswer', 'answer', 'rollback'];

export class SessionDescription {
  constructor(init) {
    if (!TYPES.includes(init?.type)) throw new TypeError(`The type of a description is one of ${TYPES.join(', ')}, not ${init?.type}`);
    this.type = init.type;
    this.sdp = String(init.sdp ?? '');
  }

  toJSON() {
    return { type: this.type, sdp: this.sdp };
  }
}

/** RFC 8839, section 5.1. */
const CANDIDATE = /^(?:a=)?candidate:(\S+) (\d+) (\S+) (\d+) (\S+) (\d+) typ (\S+)(.*)$/;
const COMPONENTS = { 1: 'rtp', 2: 'rtcp' };

export class IceCandidate {
  #init;

  constructor(init = {}) {
    const { candidate = '', sdpMid = null, sdpMLineIndex = null, usernameFragment = null } = init ?? {};
    if (sdpMid === null && sdpMLineIndex === null) throw new TypeError('A candidate needs sdpMid or sdpMLineIndex');
    this.#init = { candidate: String(candidate), sdpMid, sdpMLineIndex, usernameFragment };
    const found = CANDIDATE.exec(this.#init.candidate) ?? [];
    const more = (name) => new RegExp(`(?:^| )${name} (\\S+)`).exec(found[8] ?? '')?.[1] ?? null;
    const number = (text) => (text === undefined || text === null ? null : Number(text));
    // Writable, other than in a browser: webrtc-adapter, which PeerJS has in it, writes to them.
    Object.assign(this, this.#init, {
      foundation: found[1] ?? null,
      component: COMPONENTS[found[2]] ?? null,
      protocol: found[3]?.toLowerCase() ?? null,
      priority: number(found[4]),
      address: found[5] ?? null,
      port: number(found[6]),
      type: found[7] ?? null,
      tcpType: more('tcptype'),
      relatedAddress: more('raddr'),
      relatedPort: number(more('rport')),
    });
  }

  toJSON() {
    return { ...this.#init };
  }
}
