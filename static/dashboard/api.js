// The API of this server. The cookie of the session goes with each request; scripts cannot read it.

const WAIT = 15_000;

/** Emits `loggedout` when the server wants a login. */
export const session = new EventTarget();

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Sends a request and resolves to its JSON; rejects with an `ApiError` that people can read. */
export async function api(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      cache: 'no-store',
      signal: AbortSignal.timeout(WAIT),
      ...(body && { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }),
    });
  } catch {
    throw new ApiError(0, 'The server does not answer. Check that it is running and that this device reaches it.');
  }
  const answer = await response.json().catch(() => undefined);
  if (response.ok) return answer;
  const isLogin = path === '/api/session';
  if (response.status === 401 && !isLogin) session.dispatchEvent(new Event('loggedout'));
  throw new ApiError(response.status, answer?.detail ?? `The server answered with status ${response.status}.`);
}

export const keyPath = (key) => `/api/keys/${encodeURIComponent(key)}`;
export const peerPath = (key, id) => `${keyPath(key)}/peers/${encodeURIComponent(id)}`;
