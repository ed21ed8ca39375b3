// What the pages know about their broker. Path and key are the server's word;
// host, port and scheme are the browser's, which is right behind proxies too.
const { path, key, defaultKey, lanHost } = document.documentElement.dataset;
const secure = location.protocol === 'https:';

export const broker = {
  host: location.hostname,
  port: Number(location.port) || (secure ? 443 : 80),
  path,
  // Percent-encoded already: PeerJS puts it into its URLs as it is.
  key,
  secure,
};

/** Whether `key` is one that works, or stands for one that people have to bring. */
export const hasDefaultKey = defaultKey !== 'false';

export { lanHost };

/** Options for `new Peer` that work without internet: no STUN or TURN server. */
export const peerOptions = { ...broker, config: { iceServers: [] } };

export const brokerUrl = (endpoint, key = broker.key) => new URL(`${path}${key}/${endpoint}`, location.origin);
