// Cases that run every night, and not for every change.

// Every change is tested with one release of PeerJS for each behaviour, in Chromium. A start of Firefox costs as much as ten tests, so there it is
// tested where browsers differ most: signalling and data (peers), a lost network (lost), a closed tab (going-away), a path that
// dies (restarts), and the relay and TURN over UDP and TCP (matrix, relay, turn).

/** True with `THOROUGH=1`: every release of PeerJS, pair of browsers, network, and screen with its colours. */
export const isThorough = Boolean(process.env.THOROUGH);

const PAIRS = [['chromium', 'chromium'], ['firefox', 'chromium'], ['chromium', 'firefox'], ['firefox', 'firefox']];

/** Caller and callee: each pair, or otherwise Chromium alone. */
export const browserPairs = isThorough ? PAIRS : PAIRS.slice(0, 1);

/** The browsers of pages alone. */
export const browsers = isThorough ? ['chromium', 'firefox'] : ['chromium'];
