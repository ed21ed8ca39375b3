// The pages' settings of their broker. Path and key come from the server. Host, port
// and scheme come from the browser, so that they are right behind proxies too.
const { path, key, defaultKey, lanHost, relay, ice, near } = document.documentElement.dataset;

/** The key of this page's address, `?key=…`. Pages of a broker without a built-in key need it. */
export const chosenKey = new URLSearchParams(location.search).get('key') ?? '';

const secure = location.protocol === 'https:';

export const broker = {
  host: location.hostname,
  port: Number(location.port) || (secure ? 443 : 80),
  path,
  // Percent-encoded already: PeerJS puts it into its URLs unchanged.
  key: encodeURIComponent(chosenKey) || key,
  secure,
};

/** False if people must enter a key. `broker.key` is a placeholder then. */
export const hasKey = Boolean(chosenKey) || defaultKey !== 'false';

export { lanHost };

/** True if the server has a relay for calls. Only the landing page has this setting. */
export const hasRelay = relay === 'true';

/** True if the server has ICE servers for clients. */
export const hasIceServers = ice === 'true';

/** True if clients of one network find each other. Only the lobby has this setting. */
export const hasNear = near !== 'false';

/** True if they need a PIN for that. */
export const needsPin = near === 'pin';

/** Options for `new Peer` that work without internet: the only ICE servers are the broker's, which `startPage` adds. */
export const peerOptions = { ...broker, config: { iceServers: [] } };

/** The address of this page with another query and hash, and with the same key. */
export function pageUrl(query, hash = '') {
  const url = new URL(location.pathname, location.origin);
  url.search = String(new URLSearchParams(chosenKey ? { ...query, key: chosenKey } : query));
  url.hash = hash;
  return url;
}

export const brokerUrl = (endpoint, key = broker.key) => new URL(`${path}${key}/${endpoint}`, location.origin);
