// The address at which other devices open a page: for the demos, and as share.js for pages of others.

/** True if only this machine opens pages at this host name. */
export const isLoopback = (hostname) => /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);

export function withHost(url, host) {
  const copy = new URL(url);
  copy.hostname = host.includes(':') ? `[${host}]` : host;
  return copy;
}
