const WAIT = 5_000;
const TLS = 'docs/TLS#phones-in-the-local-network';

/** An element that says what to do about a page over HTTP, with a link to the address over HTTPS if there is one. */
export function httpsAdvice() {
  const advice = document.createElement('span');
  secureAddress().then((url) => {
    if (url) advice.append('Open ', link(url.href, url.origin + url.pathname), ' instead.');
    else advice.append('This server has no TLS here: ', link(TLS, 'set up HTTPS'), '.');
  });
  return advice;
}

/** The address of this page over HTTPS, if a proxy serves it there too. A port of the server itself has TLS or has not. */
async function secureAddress() {
  if (location.protocol === 'https:' || location.port) return undefined;
  const url = new URL(location.href);
  url.protocol = 'https:';
  try {
    await fetch(url, { mode: 'no-cors', signal: AbortSignal.timeout(WAIT) });
    return url;
  } catch {
    return undefined;
  }
}

const link = (href, text) => Object.assign(document.createElement('a'), { href, textContent: text });
