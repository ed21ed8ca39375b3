// What the pages know about their broker. Path and key are the server's word;
// host, port and scheme are the browser's, which is right behind proxies too.
const { path, key, lanHost } = document.documentElement.dataset;
const secure = location.protocol === 'https:';

export const broker = {
  host: location.hostname,
  port: Number(location.port) || (secure ? 443 : 80),
  path,
  // Percent-encoded already: PeerJS puts it into its URLs as it is.
  key,
  secure,
};

export { lanHost };

/** Options for `new Peer` that work without internet: no STUN or TURN server. */
export const peerOptions = { ...broker, config: { iceServers: [] } };

export const brokerUrl = (endpoint) => new URL(`${path}${key}/${endpoint}`, location.origin);
