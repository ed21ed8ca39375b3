// Replaces the client pages' settings for the modules that the dashboard shares with them. Here the broker is at
// another origin: the port of the clients.

const url = new URL(document.documentElement.dataset.broker ?? '');
const secure = url.protocol === 'https:';

export const broker = {
  host: url.hostname,
  port: Number(url.port) || (secure ? 443 : 80),
  path: url.pathname,
  key: '',
  secure,
};

/** False, because the dashboard itself asks for ICE servers, as a step that it shows. */
export const hasIceServers = false;

export const peerOptions = { ...broker, config: { iceServers: [] } };

export const brokerUrl = (endpoint, key) => new URL(`${broker.path}${key}/${endpoint}`, url);
