// Checks a page for people who cannot see it, or who have no pointer.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fits } from './layout.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const SERIOUS = new Set(['serious', 'critical']);

/** Checks that axe-core finds nothing serious on the page as it is now. */
export async function accessible(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const serious = violations
    .filter(({ impact }) => SERIOUS.has(impact))
    .map(({ id, nodes }) => ({ id, nodes: nodes.map(({ html, failureSummary }) => `${html}\n${failureSummary}`) }));
  assert.deepEqual(serious, [], what);
}

/** Checks that Tab leads to everything that can be pressed or filled in, and that each of them shows the focus. */
async function reachableByKeyboard(page, what) {
  const wanted = await page.evaluate(() => {
    const all = [...document.querySelectorAll('a[href], button:enabled, input, summary, [tabindex="0"]')]
      // Arrow keys lead to the other tabs of a list.
      .filter((element) => !element.matches('[role="tab"][tabindex="-1"]'));
    window.wanted = all.filter((element) => element.checkVisibility({ visibilityProperty: true }));
    const focused = /** @type {HTMLElement} */ (document.activeElement);
    focused?.blur();
    return window.wanted.length;
  });
  const seen = new Set();
  // Some more, because browsers also stop at what scrolls.
  for (let pressed = 0; pressed < wanted + 10 && seen.size < wanted; pressed += 1) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const element = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      const isShown = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1;
      return { index: window.wanted.indexOf(element), isShown, html: element.outerHTML.slice(0, 120) };
    });
    if (at.index < 0) continue;
    seen.add(at.index);
    assert.ok(at.isShown, `${what}: the focus is not to be seen on ${at.html}`);
  }
  const missed = await page.evaluate((seen) => {
    return window.wanted.filter((_, i) => !seen.includes(i)).map(({ outerHTML }) => outerHTML.slice(0, 120));
  }, [...seen]);
  assert.deepEqual(missed, [], what);
}

/** Checks that everybody can use the page as it is now. */
export async function usable(page, device, what) {
  await accessible(page, what);
  // The order is that of the document, which is the same on phones.
  if (!device.isMobile) await reachableByKeyboard(page, what);
  await fits(page, device);
}
