// Helpers for the tests of all demos.

import jsQR from 'jsqr';
import { PNG } from 'pngjs';
import { desktop, phone, urlOf } from './visit.mjs';

const exactly = (text) => new RegExp(`^${text.replace(/[.?]/g, '\\$&')}$`);

/** Waits until the status line has this state and text. */
export const says = (page, state, text) =>
  page.locator(`#status[data-state="${state}"]`, { hasText: exactly(text) }).waitFor();

/** The link for others that a page shows when it was opened at a loopback address. */
export const localLink = (page) => page.locator('#local-link').evaluate((link) => link.href);

/** Opens the slides, and a phone for them: the two pages are connected then. */
export async function connectTwoPages(visit, server) {
  const presenter = await visit.open(desktop, urlOf(server, '/broker/slides/'));
  await says(presenter, 'ready', 'Waiting for a phone');
  await visit.open(phone, await localLink(presenter));
  await says(presenter, 'connected', '1 phone connected');
}

/** A page that stands for `peerbroker listen desk`: without WebRTC, it has only a pipe. `line` resolves to its connection, once that is open. */
export async function listen(visit, server) {
  const program = await visit.open(desktop, urlOf(server, '/'), { webRtc: false });
  await program.evaluate(() => new Promise((open) => {
    const peer = new window.Peer('desk');
    window.heard = [];
    window.line = new Promise((opened) => {
      peer.on('connection', (line) => {
        line.on('open', () => opened(line));
        line.on('data', (data) => window.heard.push(data));
      });
    });
    peer.on('open', open);
  }));
  return program;
}

/** Reads the QR code from the screen. */
export async function scan(page, code = '#qr') {
  const { data, width, height } = PNG.sync.read(await page.locator(code).screenshot());
  // Its types describe a module of another kind.
  const read = /** @type {any} */ (jsQR);
  return read(new Uint8ClampedArray(data), width, height)?.data;
}
