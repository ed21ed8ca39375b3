import { enableCopy } from './copy.js';
import { lanHost } from './settings.js';

const QUIET_ZONE = 4;
const LOOPBACK = /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/;

const element = (id) => document.getElementById(id);

/**
 * Shows how another device opens `here`, an address at this page's origin: with a QR code, or, if other devices
 * cannot reach it, with instructions. The pages have the elements; `label` describes the code for screen
 * readers. Returns the address for other devices, if there is one.
 */
export function showWay(here, label) {
  const isLoopback = LOOPBACK.test(location.hostname);
  const reachable = !isLoopback || Boolean(lanHost);

  element('join-code').hidden = !reachable;
  element('join-unreachable').hidden = reachable;

  if (!reachable) {
    element('join-host').textContent = location.hostname;
    element('join-example').textContent = withHost(new URL(location.href), '192.168.1.20').href;
    element('local-link').href = here;
    return undefined;
  }

  const link = isLoopback ? withHost(here, lanHost) : here;
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
    element('qr').replaceChildren(drawCode(link.href, label));
  } else {
    element('qr').hidden = true;
    element('join-hint').textContent = 'The QR code library did not load. Send this link to the phone instead.';
  }
  element('join-container').hidden = !isLoopback;
  element('join-address').textContent = link.hostname;
  element('join-port').textContent = link.port || (link.protocol === 'https:' ? '443' : '80');
  element('join-http').hidden = link.protocol === 'https:';
  return link;
}

export function enableCopyLink() {
  enableCopy(element('copy-link'), () => element('join-link').href);
}

function withHost(url, host) {
  const copy = new URL(url);
  copy.hostname = host.includes(':') ? `[${host}]` : host;
  return copy;
}

function drawCode(text, label) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', label);

  const code = window.qrcode(0, 'M');
  code.addData(text);
  code.make();

  const modules = code.getModuleCount();
  let outline = '';
  for (let row = 0; row < modules; row += 1) {
    for (let column = 0; column < modules; column += 1) {
      if (code.isDark(row, column)) outline += `M${column} ${row}h1v1h-1z`;
    }
  }
  const path = document.createElementNS(svg.namespaceURI, 'path');
  path.setAttribute('d', outline);
  svg.append(path);

  const size = modules + 2 * QUIET_ZONE;
  svg.setAttribute('viewBox', `${-QUIET_ZONE} ${-QUIET_ZONE} ${size} ${size}`);
  return svg;
}
