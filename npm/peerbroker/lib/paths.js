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

module.exports = { joined, split };
