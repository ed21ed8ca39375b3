// The pages' settings of their broker. Path and key come from the server. Host, port
// and scheme come from the browser, so that they are right behind proxies too.
const { path, key, defaultKey, lanHost } = document.documentElement.dataset;
const secure = location.protocol === 'https:';

export const broker = {
  host: location.hostname,
  port: Number(location.port) || (secure ? 443 : 80),
  path,
  // Percent-encoded already: PeerJS puts it into its URLs unchanged.
  key,
  secure,
};

/** Whether `key` works. If not, it is a placeholder, and people must enter a key. */
export const hasDefaultKey = defaultKey !== 'false';

export { lanHost };

/** Options for `new Peer` that work without internet: no STUN or TURN server. */
export const peerOptions = { ...broker, config: { iceServers: [] } };

export const brokerUrl = (endpoint, key = broker.key) => new URL(`${path}${key}/${endpoint}`, location.origin);
