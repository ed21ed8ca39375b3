import { SIZE } from './drawing.js';

const STEP = 20;
const LONG_STEP = 100;

const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const within = (value, most) => Math.round(Math.min(Math.max(value, 0), most));

/**
 * Draws with fingers, pens and the mouse. `begin(x, y)` returns a new stroke, `extend(stroke, points)` adds points to it, and
 * `point(place)` tells where the pointer is, or that it is nowhere.
 */
export function enablePen(canvas, { begin, extend, point }) {
  const strokes = new Map();

  function placeOf(event) {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const x = ((event.clientX - left) / width) * SIZE.width;
    const y = ((event.clientY - top) / height) * SIZE.height;
    return [within(x, SIZE.width), within(y, SIZE.height)];
  }

  canvas.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    strokes.set(event.pointerId, begin(...placeOf(event)));
  });
  canvas.addEventListener('pointermove', (event) => {
    const stroke = strokes.get(event.pointerId);
    const passed = event.getCoalescedEvents?.() ?? [];
    if (stroke) extend(stroke, (passed.length > 0 ? passed : [event]).flatMap(placeOf));
    point(placeOf(event));
  });
  for (const end of ['pointerup', 'pointercancel']) {
    canvas.addEventListener(end, ({ pointerId, pointerType }) => {
      strokes.delete(pointerId);
      // A finger that is lifted points nowhere.
      if (pointerType === 'touch') point(null);
    });
  }
  canvas.addEventListener('pointerleave', () => point(null));
}

/** Draws with the keyboard. `show(place, isDown)` shows the pen; without a place, it hides it. */
export function enableKeys(canvas, { begin, extend, point, show }) {
  let at = [SIZE.width / 2, SIZE.height / 2];
  let stroke;

  function tell() {
    point(at);
    show(at, Boolean(stroke));
  }

  canvas.addEventListener('keydown', (event) => {
    const direction = KEYS[event.key];
    if (direction && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const step = event.shiftKey ? LONG_STEP : STEP;
      at = [within(at[0] + direction[0] * step, SIZE.width), within(at[1] + direction[1] * step, SIZE.height)];
      if (stroke) extend(stroke, at);
    } else if (event.key === ' ') {
      stroke = stroke ? undefined : begin(...at);
    } else {
      return;
    }
    event.preventDefault();
    tell();
  });
  canvas.addEventListener('blur', () => {
    stroke = undefined;
    point(null);
    show(undefined, false);
  });
}
