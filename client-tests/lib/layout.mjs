import assert from 'node:assert/strict';

const FINGER = 44;

/** Checks that nothing scrolls sideways and that every button is large enough for a finger. */
export async function fits(page, device) {
  const { width } = device.viewport;
  // A page that a form leads to may have its text before its styles.
  await page.waitForLoadState();
  const found = await page.evaluate(({ finger, screen }) => {
    const shown = (element) => element.checkVisibility();
    const size = (element) => {
      const { width, height } = element.getBoundingClientRect();
      return { name: element.textContent.trim(), width, height };
    };
    return {
      // A phone zooms out if content is too wide, so compare with the screen, not the viewport.
      width: Math.max(document.documentElement.scrollWidth, screen),
      small: [...document.querySelectorAll('button, .button, nav a, summary')]
        .filter(shown)
        .map(size)
        .filter(({ width, height }) => width < finger || height < finger),
    };
  }, { finger: device.hasTouch ? FINGER : 0, screen: width });
  assert.deepEqual(found, { width, small: [] });
}

/** Checks that a part with too much content scrolls, and shows that there is more below. */
export async function scrollsToItsEnd(page, selector) {
  const found = await page.locator(selector).evaluate((part) => {
    const { overflowY } = getComputedStyle(part);
    const { position } = getComputedStyle(part, '::after');
    // Less height than any screen has.
    part.style.height = '12rem';
    const isCut = part.scrollHeight > part.clientHeight;
    part.scrollTop = part.scrollHeight;
    const [end, last] = [part, part.lastElementChild].map((each) => each.getBoundingClientRect().bottom);
    part.style.height = '';
    part.scrollTop = 0;
    return { overflowY, position, isCut, isShown: last <= end };
  });
  assert.deepEqual(found, { overflowY: 'auto', position: 'sticky', isCut: true, isShown: true });
}
