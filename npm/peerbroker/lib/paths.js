// Paths and URLs of requests.
'use strict';

/** Paths joined, with slashes around. */
function joined(...paths) {
  return `/${paths.join('/')}/`.replace(/\/+/g, '/');
}

function split(url) {
  const at = url.indexOf('?');
  return at < 0 ? { pathname: url, search: '' } : { pathname: url.slice(0, at), search: url.slice(at) };
}

/** The name of the WebSocket of clients. */
const OF_CLIENTS = 'peerjs';

/** The WebSocket that a URL asks for, and the path in front of its name: that of clients, or one of data that WebRTC cannot carry. */
function socketOf(url) {
  const [, place, name] = /^(.*\/)(peerjs|pipe\/[\w-]{22})$/.exec(split(url).pathname) ?? [];
  return { place, name };
}

module.exports = { joined, OF_CLIENTS, socketOf, split };
