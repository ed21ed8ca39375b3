import { COLOURS } from '../../shared/colour-names.js';
import { colourOf } from './people.js';

/** The drawing in its own units, so that everybody sees the same on every screen. */
export const SIZE = { width: 1800, height: 1200 };

const LINE = 10;
// A line of no length is not drawn everywhere.
const SPECK = 0.01;

/** Shows strokes on a canvas, with the colours of the style sheet. */
export class Drawing {
  #canvas;
  #context;
  #strokes;
  #colours;
  #paths = new WeakMap();
  #isDue = false;

  /** `strokes` is a shared list. Each of them has a `colour` and `points`, a list of x and y in turn. */
  constructor(canvas, strokes) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d');
    this.#strokes = strokes;
    strokes.observeDeep((events) => {
      // A change of a stroke, or of its points.
      for (const { target } of events) for (const changed of [target, target.parent ?? target]) this.#paths.delete(changed);
      this.#redraw();
    });
    new ResizeObserver(() => this.#redraw()).observe(canvas);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', () => this.#readColours());
    this.#readColours();
  }

  #readColours() {
    const style = getComputedStyle(this.#canvas);
    this.#colours = COLOURS.map((_, colour) => style.getPropertyValue(`--player-${colour}`).trim());
    this.#redraw();
  }

  #redraw() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#draw();
    });
  }

  #draw() {
    const canvas = this.#canvas;
    const context = this.#context;
    const scale = (canvas.clientWidth / SIZE.width) * devicePixelRatio;
    const [width, height] = [Math.round(SIZE.width * scale), Math.round(SIZE.height * scale)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const strokes = this.#strokes.length;
    canvas.setAttribute('aria-label', `Drawing, ${strokes} ${strokes === 1 ? 'stroke' : 'strokes'}`);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, SIZE.width, SIZE.height);
    Object.assign(context, { lineWidth: LINE, lineCap: 'round', lineJoin: 'round' });
    for (const stroke of this.#strokes) {
      if (typeof stroke?.get !== 'function') continue;
      if (!this.#paths.has(stroke)) this.#paths.set(stroke, pathOf(stroke));
      context.strokeStyle = this.#colours[colourOf(stroke.get('colour'))];
      context.stroke(this.#paths.get(stroke));
    }
  }
}

/** A smooth line: its points are the corners of a curve through the middles between them. */
function pathOf(stroke) {
  const numbers = (stroke.get('points')?.toArray?.() ?? []).filter(Number.isFinite);
  const path = new Path2D();
  let [x, y] = numbers;
  path.moveTo(x, y);
  path.lineTo(x + SPECK, y);
  for (let at = 2; at + 1 < numbers.length; at += 2) {
    const [nextX, nextY] = [numbers[at], numbers[at + 1]];
    path.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    [x, y] = [nextX, nextY];
  }
  path.lineTo(x, y);
  return path;
}
