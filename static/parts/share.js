// How other devices open a page: `shareLink()` is its address for them, and `qrCode(link)` a picture of that for their cameras.
(() => {
{{library}}
{{script}}

const lanHost = {{lan_host}};

const told = new Set();

const parsed = (text) => {
  try {
    return new URL(text);
  } catch {
    return null;
  }
};

/** Warns of an address that other devices cannot open, once. Text that is no address leads nowhere else. */
const warnOf = (link) => {
  const { protocol, hostname } = parsed(link) ?? {};
  const remedy = protocol === 'file:' ? ['this file', 'serve it, as with peerbroker --static_dir .']
    : !isLoopback(hostname) ? null
      : lanHost ? [hostname, 'pass its address to shareLink, as in qrCode(shareLink(…))']
        : [hostname, 'the broker found no address of this machine in a network, or listens at loopback only (--host)'];
  const text = remedy && `other devices cannot open ${remedy[0]}: ${remedy[1]}`;
  if (!text || told.has(text)) return;
  told.add(text);
  console.warn(text);
};

/** The address of a page, by default of this one, at which other devices open it. */
window.shareLink = (page = location.href) => {
  const link = new URL(page, location.href);
  const shared = lanHost && isLoopback(link.hostname) ? withHost(link, lanHost).href : link.href;
  warnOf(shared);
  return shared;
};

window.qrCode = (link = window.shareLink()) => {
  const text = String(link);
  warnOf(text);
  const svg = drawCode(qrcode, text, `QR code of ${text}`);
  svg.setAttribute('width', '240');
  svg.setAttribute('height', '240');
  // On dark pages, too.
  svg.style.background = 'white';
  return svg;
};
})();
