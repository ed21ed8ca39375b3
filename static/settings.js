// What the pages know about their broker. Path and key are the server's word;
// host, port and scheme are the browser's, which is right behind proxies too.
const { path, key, lanHost } = document.documentElement.dataset;
const secure = location.protocol === 'https:';

// PeerJS puts the key into its URLs as it is, so it must be escaped before.
const urlKey = encodeURIComponent(key);

export const broker = {
  host: location.hostname,
  port: Number(location.port) || (secure ? 443 : 80),
  path,
  key: urlKey,
  secure,
};

export { lanHost };

/** Options for `new Peer` that work without internet: no STUN or TURN server. */
export const peerOptions = { ...broker, config: { iceServers: [] } };

export const brokerUrl = (endpoint) => new URL(`${path}${urlKey}/${endpoint}`, location.origin);
