import { h } from '../../shared/dom.js';
import { icon } from '../../shared/media-icons.js';

const list = /** @type {HTMLElement} */ (document.querySelector('#people'));

// The shape of a picture, the widest one that does not cut faces off, and the gap between tiles in pixels.
const SHAPE = 4 / 3;
const WIDEST = 2;
const GAP = 12;

/** Finds the columns with which the pictures are largest: their number depends on the shape of the stage. */
function layOut() {
  const { clientWidth, clientHeight } = list;
  const count = list.childElementCount;
  let largest = 0;
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const [width, height] = [(clientWidth + GAP) / columns - GAP, (clientHeight + GAP) / rows - GAP];
    const size = Math.min(width, height * SHAPE);
    if (columns > 1 && size <= largest) continue;
    largest = size;
    list.style.setProperty('--columns', String(columns));
    list.style.setProperty('--rows', String(rows));
    list.style.setProperty('--widest', `${Math.max(width, height * WIDEST)}px`);
  }
}

new ResizeObserver(layOut).observe(list);
new MutationObserver(layOut).observe(list, { childList: true });

/** Members of a room choose their data themselves. */
export const nameOf = (data) => (typeof data?.name === 'string' && data.name.trim().slice(0, 30)) || 'Somebody';

/** The tiles of all who are here, with their pictures in the call. */
export class People {
  #tiles = new Map();
  #ownId;

  show(members, ownId) {
    this.#ownId = ownId;
    for (const [id, tile] of this.#tiles) {
      if (members.has(id)) continue;
      tile.remove();
      this.#tiles.delete(id);
    }
    for (const [id, data] of members) this.#tile(id).name = nameOf(data) + (id === ownId ? ' (you)' : '');
  }

  /** Shows the picture of somebody in the call, or of nobody. `media` says what is turned on. */
  picture(id, stream, media) {
    this.#tiles.get(id)?.picture(stream, media, id === this.#ownId);
  }

  get ownId() {
    return this.#ownId;
  }

  #tile(id) {
    if (!this.#tiles.has(id)) this.#tiles.set(id, new Tile());
    return this.#tiles.get(id);
  }
}

class Tile {
  #video = /** @type {HTMLVideoElement} */ (h('video', { playsinline: true, hidden: true }));
  #initial = h('span', { class: 'initial', 'aria-hidden': 'true' });
  #label = h('span', { class: 'name' });
  #state = h('span', { class: 'state' });
  #item = list.appendChild(h('li', {}, this.#video, this.#initial, this.#label, this.#state));

  set name(name) {
    this.#label.textContent = name;
    this.#initial.textContent = [...name][0].toUpperCase();
    this.#video.setAttribute('aria-label', name);
  }

  picture(stream, media, isOwn) {
    const hasPicture = Boolean(stream && media?.camera);
    this.#video.hidden = !hasPicture;
    this.#initial.hidden = hasPicture;
    this.#video.muted = isOwn;
    this.#item.classList.toggle('own', isOwn);
    this.#item.classList.toggle('in-call', Boolean(media));
    // Setting it again would stop the sound for a moment.
    if (this.#video.srcObject !== (stream ?? null)) this.#video.srcObject = stream ?? null;
    if (stream) this.#video.play().catch(() => {});
    this.#state.replaceChildren(...stateOf(media));
  }

  remove() {
    this.#item.remove();
  }
}

function stateOf(media) {
  if (!media) return [];
  return media.microphone ? ['in the call'] : [icon('microphone-off'), 'muted'];
}
