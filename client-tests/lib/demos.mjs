// What the demos have in common, as a test sees it.

import jsQR from 'jsqr';
import { PNG } from 'pngjs';

const exactly = (text) => new RegExp(`^${text.replace(/[.?]/g, '\\$&')}$`);

/** Waits until the status line is in this state and says this. */
export const says = (page, state, text) =>
  page.locator(`#status[data-state="${state}"]`, { hasText: exactly(text) }).waitFor();

/** The link for others that a page shows when it was opened at a loopback address. */
export const localLink = (page) => page.locator('#local-link').evaluate((link) => link.href);

/** What a camera reads from the screen. */
export async function scan(page) {
  const { data, width, height } = PNG.sync.read(await page.locator('#qr').screenshot());
  return jsQR(new Uint8ClampedArray(data), width, height)?.data;
}
