// The picture of an address. Its size: `#qr` in demo.css for the demos, and sharing.js for pages of others.

const QUIET_ZONE = 4;
/** Of the largest code with error correction M. */
const MOST_BYTES = 2331;

/** A picture that leads a camera to the address `text`. `qrcode` is the library; screen readers say `label`. */
export function drawCode(qrcode, text, label) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', label);

  // Cameras read UTF-8. The library alone writes one byte of each letter.
  qrcode.stringToBytes = (letters) => [...new TextEncoder().encode(letters)];
  const { length } = qrcode.stringToBytes(text);
  if (length > MOST_BYTES) throw new RangeError(`a QR code has at most ${MOST_BYTES} bytes, and this text has ${length}`);
  const code = qrcode(0, 'M');
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
