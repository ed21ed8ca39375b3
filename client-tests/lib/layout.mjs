import assert from 'node:assert/strict';

const FINGER = 44;

/** Checks that nothing scrolls sideways and that every button is large enough for a finger. */
export async function fits(page, device) {
  const { width } = device.viewport;
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
