// The ways of connections, and the reasons why they did not open, in words. Call reports and the test of the landing page share them.

/** Names of the ways that data takes. */
export const WAYS = {
  direct: 'directly',
  relay: 'through the relay',
  turn: 'through a TURN server',
  pipe: 'over the broker, encrypted',
  unknown: 'in a way that the browser does not say',
};

/** Guesses why a connection did not open. */
export const REASONS = {
  no_udp: 'no STUN or TURN server answered, so the network seems to block UDP',
  no_relay: 'the networks need a relay, and there was none',
  peer_gone: 'the other peer was absent, or left',
  unanswered: 'the other peer did not answer',
  permission: 'the browser may not use the camera or microphone',
  codec: 'the browsers did not understand each other’s media',
  left: 'the page left before it could open',
  unknown: 'nobody knows why',
};
