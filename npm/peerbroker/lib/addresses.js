// The address of a client behind proxies, by the option `proxied`, whose values are those of Express's `trust proxy`.
'use strict';

const { BlockList, isIP } = require('node:net');

const NETWORKS = {
  loopback: ['127.0.0.0/8', '::1/128'],
  linklocal: ['169.254.0.0/16', 'fe80::/10'],
  uniquelocal: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
};

/** @returns {(address: string, hop: number) => boolean} */
function trusts(proxied) {
  if (typeof proxied === 'function') return proxied;
  if (typeof proxied === 'number') return (_, hop) => hop < proxied;
  if (typeof proxied === 'boolean' || !proxied) return () => Boolean(proxied);
  const list = new BlockList();
  for (const name of [proxied].flat().flatMap((names) => names.split(',')).map((text) => text.trim())) {
    for (const network of NETWORKS[name] ?? [name]) {
      const [address, bits = isIP(address) === 6 ? 128 : 32] = network.split('/');
      if (!isIP(address)) throw new Error(`proxied: ${JSON.stringify(name)} is no address, no network and no name of networks`);
      list.addSubnet(address, Number(bits), family(address));
    }
  }
  return (address) => list.check(address, family(address));
}

function family(address) {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}

function clientAddress(req, isTrusted) {
  const forwarded = String(req.headers['x-forwarded-for'] ?? '').split(',').map((text) => text.trim());
  // IPv4 comes as IPv6 to a server that listens on both.
  let address = plain(req.socket.remoteAddress ?? '');
  for (let hop = 0; forwarded.length > 0 && isTrusted(address, hop); hop += 1) {
    const next = plain(forwarded.pop());
    if (!isIP(next)) break;
    address = next;
  }
  return address;
}

function plain(address) {
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}

module.exports = { clientAddress, trusts };
