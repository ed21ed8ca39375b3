// A small chart of the last minutes, or of the last day.

import { h, svg } from './shared/dom.js';
import { setText } from './shared/set-text.js';
import { duration } from './words.js';

/** Fewer samples than these do not fill the width, so a young server has no wild chart. */
const FEWEST = 60;
const HEIGHT = 48;

/** A chart whose `show(values, format)` draws numbers, `step` seconds apart, the latest at the right; `undefined` leaves a gap. */
export function sparkline(title, step = 1) {
  const area = svg('path', { class: 'area' });
  const line = svg('path', { class: 'line' });
  const chart = svg(
    'svg',
    { class: 'spark', preserveAspectRatio: 'none', role: 'img', 'aria-label': title },
    area,
    line,
  );
  const start = h('span');
  const element = h('div', { class: 'chart' }, chart, h('p', { class: 'axis', 'aria-hidden': 'true' }, start, h('span', {}, 'now')));

  function show(values, format) {
    const known = values.filter((value) => value !== undefined);
    if (known.length < 2) return;
    const [lowest, highest] = [Math.min(...known), Math.max(...known)];
    // From zero, so that heights can be compared. A line at zero lies on the ground.
    const top = highest || 1;
    const width = Math.max(FEWEST, values.length - 1);
    setText(start, `${duration(width * step)} ago`);
    chart.setAttribute('aria-label', `${title} in the last ${duration(width * step)}: between ${format(lowest)} and ${format(highest)}`);
    chart.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    let [outline, ground] = ['', ''];
    values.forEach((value, i) => {
      if (value === undefined) return;
      const [isFirst, isLast] = [values[i - 1] === undefined, values[i + 1] === undefined];
      const x = width - values.length + 1 + i;
      const at = `${x} ${(HEIGHT - 2 - (value / top) * (HEIGHT - 6)).toFixed(1)}`;
      outline += `${isFirst ? 'M' : 'L'}${at}`;
      ground += `${isFirst ? `M${x} ${HEIGHT}` : ''}L${at}${isLast ? `V${HEIGHT}Z` : ''}`;
    });
    line.setAttribute('d', outline);
    area.setAttribute('d', ground);
  }

  return { element, show };
}
