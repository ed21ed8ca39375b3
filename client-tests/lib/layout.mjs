import assert from 'node:assert/strict';

const FINGER = 44;

/** No scrolling sideways, and nothing to press that is smaller than a finger. */
export async function fits(page, device) {
  const { width } = device.viewport;
  const found = await page.evaluate(({ finger, screen }) => {
    const shown = (element) => element.checkVisibility();
    const size = (element) => {
      const { width, height } = element.getBoundingClientRect();
      return { name: element.textContent.trim(), width, height };
    };
    return {
      // A phone zooms out for what is too wide: compare with the screen, not the viewport.
      width: Math.max(document.documentElement.scrollWidth, screen),
      small: [...document.querySelectorAll('button, .button, nav a, summary')]
        .filter(shown)
        .map(size)
        .filter(({ width, height }) => width < finger || height < finger),
    };
  }, { finger: device.hasTouch ? FINGER : 0, screen: width });
  assert.deepEqual(found, { width, small: [] });
}
