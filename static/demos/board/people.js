import { COLOURS } from '../../shared/colour-names.js';
import { h } from '../../shared/dom.js';
import { recall, remember } from '../../shared/storage.js';

const GREY = 7;
const MEMORY = 'board colour';
const POINT_EVERY = 40;

const list = document.querySelector('#people');
const cursors = document.querySelector('#cursors');
const writing = document.querySelector('#writing');

const isColour = (value) => Number.isInteger(value) && value > 0 && value < COLOURS.length;

/** People choose what they say of themselves. */
export const colourOf = (value) => (isColour(value) ? value : GREY);

function nameOf(colour) {
  const name = COLOURS[colourOf(colour)];
  return name[0].toUpperCase() + name.slice(1);
}

/** Those who have the board open: each has a colour, a pointer over the drawing, and may be writing. */
export class People {
  #awareness;
  #cursors = new Map();
  #size;
  #pointer;
  #timer;
  #shown = '';

  /** `size` is that of the drawing, in its own units. */
  constructor(awareness, size) {
    this.#awareness = awareness;
    this.#size = size;
    const all = COLOURS.map((_, colour) => colour).slice(1);
    this.#tell({ colour: recall(MEMORY) ?? all[Math.floor(Math.random() * all.length)] });
    awareness.on('change', () => {
      this.#differ(all);
      this.#show();
    });
    this.#show();
  }

  get colour() {
    return colourOf(this.#awareness.getLocalState()?.colour);
  }

  /** Shows the others a point of the drawing, or none. */
  point(pointer) {
    this.#pointer = pointer;
    if (this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#tell({ pointer: this.#pointer });
    }, POINT_EVERY);
  }

  writes(isWriting) {
    this.#tell({ isWriting });
  }

  #tell(news) {
    for (const [name, value] of Object.entries(news)) this.#awareness.setLocalStateField(name, value);
  }

  /** Of two with one colour, the one with the larger id takes another. */
  #differ(all) {
    const others = this.#others;
    const taken = new Set(others.map(([, { colour }]) => colour));
    const mustChange = others.some(([id, { colour }]) => colour === this.colour && id < this.#awareness.clientID);
    const free = all.filter((colour) => !taken.has(colour));
    if (mustChange && free.length > 0) this.#tell({ colour: free[Math.floor(Math.random() * free.length)] });
    remember(MEMORY, this.colour);
  }

  get #others() {
    return [...this.#awareness.getStates()].filter(([id]) => id !== this.#awareness.clientID);
  }

  #show() {
    const others = this.#others;
    const colours = [this.colour, ...others.map(([, { colour }]) => colourOf(colour))];
    // Pointers move often, and people come and go rarely.
    if (this.#shown !== String(colours)) {
      this.#shown = String(colours);
      list.replaceChildren(...colours.map((colour, at) => chip(colour, at === 0 ? `You are ${COLOURS[colour]}` : nameOf(colour))));
    }

    const writers = others.filter(([, { isWriting }]) => isWriting).map(([, { colour }]) => nameOf(colour));
    writing.textContent = writers.length > 0 ? `${writers.join(', ')} ${writers.length === 1 ? 'is' : 'are'} writing…` : '';

    const pointing = others.filter(([, { pointer }]) => Array.isArray(pointer) && pointer.every(Number.isFinite));
    const shown = new Map(pointing);
    for (const [id, cursor] of this.#cursors) {
      if (shown.has(id)) continue;
      cursor.remove();
      this.#cursors.delete(id);
    }
    for (const [id, state] of shown) this.#place(id, state);
  }

  #place(id, state) {
    if (!this.#cursors.has(id)) {
      this.#cursors.set(id, cursors.appendChild(h('span', { class: 'cursor' })));
    }
    const cursor = this.#cursors.get(id);
    const [x, y] = state.pointer;
    cursor.dataset.colour = colourOf(state.colour);
    cursor.textContent = nameOf(state.colour);
    cursor.style.left = `${(100 * x) / this.#size.width}%`;
    cursor.style.top = `${(100 * y) / this.#size.height}%`;
  }
}

const chip = (colour, text) => h('li', {}, h('span', { class: 'swatch', 'data-colour': colour }), text);
