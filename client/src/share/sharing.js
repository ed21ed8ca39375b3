// How other devices open a page: `shareLink()` is its address for them, and `qrCode(link)` a picture of that for their cameras.

import { isLoopback, withHost } from './link.js';
import { drawCode } from './qr-code.js';

const told = new Set();

const parsed = (text) => {
  try {
    return new URL(text);
  } catch {
    return null;
  }
};

/** Warns once. */
const warn = (text) => {
  if (told.has(text)) return;
  told.add(text);
  console.warn(text);
};

/** The part of an address that JavaScript has written for an id without a value. */
const missingIn = ({ searchParams, hash }) => {
  const isMissing = (text) => text === 'undefined' || text === 'null';
  const parameter = [...searchParams].find(([, value]) => isMissing(value));
  return parameter ? parameter.join('=') : isMissing(hash.slice(1)) ? hash : null;
};

/**
 * @param {any} encode makes QR codes
 * @param {string | null} lanHost the address of this machine in its network, for pages at `localhost`
 */
export function sharing(encode, lanHost) {
  /** Warns of an address that other devices cannot open, or that lacks an id. Text that is no address leads nowhere else. */
  const warnOf = (link) => {
    const url = parsed(link);
    const missing = url && missingIn(url);
    if (missing) warn(`the link has ${missing}: make it in peer.on('open', (id) => …), because peer.id has no value before`);
    const { protocol, hostname } = url ?? {};
    const remedy = protocol === 'file:' ? ['this file', 'serve it, as with peerbroker --static_dir .']
      : !isLoopback(hostname) ? null
        : lanHost ? [hostname, 'pass its address to shareLink, as in qrCode(shareLink(…))']
          : [hostname, 'the broker found no address of this machine in a network, or listens at loopback only (--host)'];
    if (remedy) warn(`other devices cannot open ${remedy[0]}: ${remedy[1]}`);
  };

  /** The address of a page, by default of this one, at which other devices open it. */
  const shareLink = (page = location.href) => {
    const link = new URL(page, location.href);
    const shared = lanHost && isLoopback(link.hostname) ? withHost(link, lanHost).href : link.href;
    warnOf(shared);
    return shared;
  };

  const qrCode = (link = shareLink()) => {
    const text = String(link);
    warnOf(text);
    const svg = drawCode(encode, text, `QR code of ${text}`);
    svg.setAttribute('width', '240');
    svg.setAttribute('height', '240');
    // On dark pages, too.
    svg.style.background = 'white';
    // For the src of an img; in innerHTML it is a picture, too, behind a word.
    svg.toString = () => {
      warn('qrCode(…) is an element: show it with append(qrCode(…)). As a text, it is an address for the src of an img');
      const markup = new XMLSerializer().serializeToString(svg);
      return `data:image/svg+xml,${markup.replace(/%/g, '%25').replace(/#/g, '%23')}`;
    };
    return svg;
  };

  return { shareLink, qrCode };
}
