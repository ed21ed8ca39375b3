// The party game on the shared screen: its phases, and what is on its canvas.

import assert from 'node:assert/strict';
import { within } from './within.mjs';

/** Makes time run six times as fast for the game, which reads it from the frames. */
export const hasten = (host) =>
  host.addInitScript(() => {
    const { requestAnimationFrame } = window;
    window.requestAnimationFrame = (draw) => requestAnimationFrame((now) => draw(now * 6));
  });

/** From now on `window.phases` records each phase. */
export async function recordPhases(host) {
  await host.evaluate(() => {
    const game = document.querySelector('#host');
    window.phases = [];
    new MutationObserver(() => {
      const name = game.dataset.phase;
      window.phases.push({ name });
    }).observe(game, { attributeFilter: ['data-phase'] });
  });
}

/** Waits until the game has entered this phase this often, even if it has left it since. */
export const reaches = (host, phase, times = 1) =>
  host.waitForFunction(
    ([wanted, enough]) => window.phases.filter(({ name }) => name === wanted).length >= enough,
    [phase, times],
  );

/** Follows the player with this colour on the screen until it is back where it was. */
export async function circles(host, number) {
  const extent = await within(`a full circle of player ${number}`, host.evaluate(async (number) => {
    const canvas = document.querySelector('#arena');
    const context = canvas.getContext('2d');
    const colour = getComputedStyle(canvas).getPropertyValue(`--player-${number}`).trim();
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

    function headAt() {
      const { data, width } = context.getImageData(0, 0, canvas.width, canvas.height);
      let [x, y, count] = [0, 0, 0];
      for (let i = 0; i < data.length; i += 4) {
        if (data[i] !== red || data[i + 1] !== green || data[i + 2] !== blue) continue;
        x += (i / 4) % width;
        y += Math.floor(i / 4 / width);
        count += 1;
      }
      const unit = 1600 / width;
      return count && { x: (x / count) * unit, y: (y / count) * unit };
    }

    const seen = [];
    let left = false;
    for (;;) {
      await new Promise(requestAnimationFrame);
      const head = headAt();
      if (!head) continue;
      seen.push(head);
      const fromStart = Math.hypot(head.x - seen[0].x, head.y - seen[0].y);
      left ||= fromStart > 120;
      if (left && fromStart < 40) break;
    }
    const range = (values) => Math.max(...values) - Math.min(...values);
    return Math.max(range(seen.map(({ x }) => x)), range(seen.map(({ y }) => y)));
  }, number));
  assert.ok(extent < 300, `it went ${extent} far`);
}
