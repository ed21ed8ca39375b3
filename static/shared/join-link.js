import { enableCopy } from './copy.js';
import { lanHost } from './settings.js';
import { isLoopback, withHost } from '../client/share/link.js';
import { drawCode } from '../client/share/qr-code.js';

const element = (id) => document.getElementById(id);

/**
 * Shows how another device opens `here`, an address at this page's origin: with a QR code, or, if other devices
 * cannot reach it, with instructions. The pages have the elements; `label` describes the code for screen
 * readers. Returns the address for other devices, if there is one.
 */
export function showJoinLink(here, label) {
  const isLocal = isLoopback(location.hostname);
  const reachable = !isLocal || Boolean(lanHost);

  element('join-code').hidden = !reachable;
  element('join-unreachable').hidden = reachable;

  if (!reachable) {
    element('join-host').textContent = location.hostname;
    element('join-example').textContent = withHost(new URL(location.href), '192.168.1.20').href;
    element('local-link').href = here;
    return undefined;
  }

  const link = isLocal ? withHost(here, lanHost) : here;
  element('join-link').href = link;
  element('join-link').replaceChildren(
    link.origin + link.pathname,
    document.createElement('wbr'),
    link.search + link.hash,
  );
  if (matchMedia('(pointer: coarse) and (max-width: 52rem)').matches) {
    element('join-hint').textContent = element('join-hint').dataset.onPhone ?? element('join-hint').textContent;
  }
  if (window.qrcode) {
    element('qr').replaceChildren(drawCode(window.qrcode, link.href, label));
  } else {
    element('qr').hidden = true;
    element('join-hint').textContent = 'The QR code library did not load. Send this link to the phone instead.';
  }
  element('join-container').hidden = !isLocal;
  element('join-address').textContent = link.hostname;
  element('join-port').textContent = link.port || (link.protocol === 'https:' ? '443' : '80');
  element('join-http').hidden = link.protocol === 'https:';
  return link;
}

export function enableCopyLink() {
  enableCopy(element('copy-link'), () => element('join-link').href);
}
