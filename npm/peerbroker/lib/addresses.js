// The address of a client behind proxies.
'use strict';

const { isIP } = require('node:net');

const LOOPBACK = '127.0.0.1';

/** As Express's `req.ip`, also where proxies write ports, and where the app listens at a Unix socket. */
function clientAddress(req, isTrusted) {
  const forwarded = String(req.headers['x-forwarded-for'] ?? '').split(',').reverse();
  let address = bare(req.socket.remoteAddress ?? LOOPBACK);
  for (const [hop, next] of forwarded.map(bare).entries()) {
    if (!isTrusted(address, hop) || !isIP(next)) break;
    address = next;
  }
  return address;
}

/** Without a port, and without what IPv6 adds to an address of IPv4. */
function bare(text) {
  const [, v4, v6] = text.match(/^\s*(?:([\d.]+):\d+|\[([^\]]+)\](?::\d+)?)\s*$/) ?? [];
  return (v4 ?? v6 ?? text).trim().replace(/^::ffff:(?=\d+\.)/i, '');
}

module.exports = { clientAddress, LOOPBACK };
