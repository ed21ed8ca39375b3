// Requests of pages to the broker over HTTP.

import { broker, brokerUrl, hasIceServers } from './settings.js';

const ID_WAIT = 8_000;

const ask = (endpoint, key) => fetch(brokerUrl(endpoint, key), { cache: 'no-store', signal: AbortSignal.timeout(ID_WAIT) });

// The ids that PeerJS accepts.
export const VALID_ID = /^[A-Za-z0-9]+(?:[ _-][A-Za-z0-9]+)*$/;

/** Returns the reason why the broker refuses this key, read from its answer to a request for an id. Undefined if it accepts the key. */
function keyProblem(response, key) {
  // Clients of PeerJS get an id all the same, so that the WebSocket can say why.
  switch (response.headers.get('x-peerbroker-key')) {
    case 'foreign_origin': return `The broker does not let pages of ${location.origin} use this key.`;
    case 'banned': return 'The operator of this broker has banned this address for this key.';
    case 'unknown': return `This broker has no key “${decodeURIComponent(key)}”.`;
    default: return undefined;
  }
}

/** The reason why the broker refuses the key of this page, if it does. If the broker does not answer, the demo reports that itself. */
export async function problemOfKey() {
  const response = await ask('id', broker.key).catch(() => undefined);
  return response && keyProblem(response, broker.key);
}

/** Asks the broker for a fresh peer id. */
export async function fetchId(key = broker.key) {
  const url = brokerUrl('id', key);
  let response;
  try {
    response = await ask('id', key);
  } catch {
    throw new Error(
      `No answer from ${url.host}. Check that peerbroker is still running and that this device is ` +
        'on a network that reaches it.',
    );
  }
  const problem = keyProblem(response, key);
  if (problem) throw new Error(problem);
  if (!response.ok) {
    throw new Error(
      `${url.pathname} answered with status ${response.status}. If there is a proxy in front of ` +
        `peerbroker, it must forward everything below ${broker.path}.`,
    );
  }
  const id = (await response.text()).trim();
  if (!VALID_ID.test(id)) {
    throw new Error(
      `${url.pathname} answered, but not with an id. Something other than peerbroker seems to ` +
        `serve ${broker.path} here.`,
    );
  }
  return id;
}

/** Resolves to the broker's ICE servers; to an empty list if it has none or does not answer. */
export async function fetchIceServers(key = broker.key) {
  if (!hasIceServers) return [];
  try {
    return (await (await ask('ice', key)).json()).iceServers ?? [];
  } catch {
    return [];
  }
}
