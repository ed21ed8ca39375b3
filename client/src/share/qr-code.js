// The picture of an address. Its size: `#qr` in demo.css for the demos, and sharing.js for pages of others.

const QUIET_ZONE = 4;
/** Of the largest code with error correction M. */
const MOST_BYTES = 2331;

/** A picture that leads a camera to the address `text`. `encode` is of the library; screen readers say `label`. */
export function drawCode(encode, text, label) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', label);

  const bytes = [...new TextEncoder().encode(text)];
  if (bytes.length > MOST_BYTES) throw new RangeError(`a QR code has at most ${MOST_BYTES} bytes, and this text has ${bytes.length}`);
  const { data, size } = encode(bytes, { ecc: 'M', border: QUIET_ZONE });
  const squares = data.map((cells, row) => cells.map((isDark, column) => (isDark ? `M${column} ${row}h1v1h-1z` : '')).join(''));
  const path = document.createElementNS(svg.namespaceURI, 'path');
  path.setAttribute('d', squares.join(''));
  svg.append(path);
  svg.setAttribute('viewBox', `0 0 ${size} ${size}`);
  return svg;
}
