// How other devices open a page: `shareLink()` is its address for them, and `qrCode(link)` a picture of that for their cameras.
(() => {
{{library}}
{{script}}

const lanHost = {{lan_host}};

/** The address of a page, by default of this one, at which other devices open it. */
window.shareLink = (page = location.href) => {
  const link = new URL(page, location.href);
  if (!isLoopback(link.hostname)) return link.href;
  if (lanHost) return withHost(link, lanHost).href;
  console.warn(`other devices cannot open ${link.hostname}, and the broker found no address of this machine in a network`);
  return link.href;
};

window.qrCode = (link = window.shareLink()) => {
  const svg = drawCode(qrcode, link, `QR code of ${link}`);
  svg.setAttribute('width', '240');
  svg.setAttribute('height', '240');
  // On dark pages, too.
  svg.style.background = 'white';
  return svg;
};
})();
