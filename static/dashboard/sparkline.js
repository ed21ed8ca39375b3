// A small chart of the last five minutes.

import { svg } from './dom.js';

/** Fewer samples than these do not fill the width, so a young server has no wild chart. */
const FEWEST = 60;
const HEIGHT = 48;

/** A chart whose `show(values, format)` draws numbers, the latest at the right; `undefined` leaves a gap. */
export function sparkline(title) {
  const area = svg('path', { class: 'area' });
  const line = svg('path', { class: 'line' });
  const element = svg(
    'svg',
    { class: 'spark', preserveAspectRatio: 'none', role: 'img', 'aria-label': title },
    area,
    line,
  );

  function show(values, format) {
    const known = values.filter((value) => value !== undefined);
    if (known.length < 2) return;
    const [lowest, highest] = [Math.min(...known), Math.max(...known)];
    element.setAttribute('aria-label', `${title} in the last minutes: between ${format(lowest)} and ${format(highest)}`);
    // From zero, so that heights can be compared. A line at zero lies on the ground.
    const top = highest || 1;
    const width = Math.max(FEWEST, values.length - 1);
    element.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    const points = known.map((value, i) => `${width - known.length + 1 + i} ${(HEIGHT - 2 - (value / top) * (HEIGHT - 6)).toFixed(1)}`);
    line.setAttribute('d', `M${points.join('L')}`);
    area.setAttribute('d', `M${points.join('L')}V${HEIGHT}H${points[0].split(' ')[0]}Z`);
  }

  return { element, show };
}
