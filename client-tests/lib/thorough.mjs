// Cases that run every night, and not for every change.

/** True with `THOROUGH=1`: every release of PeerJS, pair of browsers, network, and screen with its colours. */
export const isThorough = Boolean(process.env.THOROUGH);

const PAIRS = [['chromium', 'chromium'], ['firefox', 'chromium'], ['chromium', 'firefox'], ['firefox', 'firefox']];

/**
 * Colours of a screen: both, or otherwise one for desktops and the other for phones.
 * @param {{ isMobile?: boolean }} screen
 */
export const coloursOf = ({ isMobile }) => (isThorough ? ['light', 'dark'] : [isMobile ? 'dark' : 'light']);

/** Caller and callee: each pair, or otherwise one of Chromium alone and one of both browsers. */
export const browserPairs = isThorough ? PAIRS : PAIRS.slice(0, 2);
