// A list of the API with a search field and a button for more.

import { api } from './api.js';
import { h } from './shared/dom.js';
import { setText } from './shared/set-text.js';
import { onNews } from './live.js';

const PAGE = 50;
const TYPING_DELAY = 250;
const RELEASE_CHECK = 50;

/**
 * A table that shows pages of `path`. `row(entry)` makes a row, `read(answer)` gives the entries of an answer.
 * `reload()` fetches all shown rows again. `search` is the label of the field, and `searched(text)` hears of each search.
 */
export function list({ path, label, columns, row, read, empty, search: what = 'Search' }, searched = /** @type {(text: string) => void} */ (() => {})) {
  let after;
  let asked = 0;
  const body = h('tbody');
  const table = h('table', {}, h('caption', { class: 'visually-hidden' }, label), h('thead', {}, h('tr', {}, columns.map((column) => h('th', { scope: 'col' }, column)))), body);
  const note = h('p', { class: 'note', role: 'status' });
  const more = h('button', { class: 'button', type: 'button', hidden: true, onclick: () => load(false) }, 'Show more');
  const search = h('input', { id: 'search', type: 'search', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false' });
  let timer;
  search.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      load(true);
      searched(search.value.trim());
    }, TYPING_DELAY);
  });

  async function load(isNew, limit = PAGE) {
    asked += 1;
    const mine = asked;
    const query = new URLSearchParams({ limit: String(limit) });
    if (!isNew && after) query.set('after', after);
    if (search.value.trim()) query.set('search', search.value.trim());
    let answer;
    try {
      answer = await api('GET', `${path}?${query}`);
    } catch (error) {
      if (mine === asked) setText(note, error.message);
      return;
    }
    await released(body);
    // A later request has replaced this one.
    if (mine !== asked) return;
    after = answer.next;
    const rows = read(answer).map(row);
    if (isNew) replaceRows(body, rows);
    else body.append(...rows);
    more.hidden = !after;
    const isEmpty = body.children.length === 0;
    table.hidden = isEmpty;
    const found = after ? 'Nothing found yet: show more to go on.' : 'Nothing found.';
    setText(note, isEmpty ? (search.value.trim() ? found : empty) : '');
  }

  const field = h('p', { class: 'field search' }, h('label', { for: 'search' }, what), search);
  return { field, element: h('div', { class: 'list' }, table, note, more), reload: () => load(true, Math.min(1000, Math.max(PAGE, body.children.length))) };
}

/**
 * Shows a list below its title, and reads it again when there is such news. Returns a function that ends that.
 * @param {HTMLElement} main
 * @param {any} shown a list
 * @param {{ back?: [string, string], title: any, tools?: any[], isNews: (event: any) => boolean }} view `back` is an address and its name
 */
export function showList(main, { field, element, reload }, { back, title, tools = [], isNews }) {
  main.append(
    ...(back ? [h('p', { class: 'back' }, h('a', { href: back[0] }, `← ${back[1]}`))] : []),
    h('h1', { tabindex: '-1' }, title),
    h('div', { class: 'tools' }, field, tools),
    element,
  );
  reload();
  return onNews(isNews, reload);
}

/** Resolves when no button in the rows is pressed: one that is replaced between press and release gets no click. */
async function released(body) {
  while (body.matches(':active')) await new Promise((done) => setTimeout(done, RELEASE_CHECK));
}

/** Replaces rows. The focus stays on the same button of the same row; if that is gone, it moves to the heading. */
function replaceRows(body, rows) {
  const focused = /** @type {HTMLElement} */ (document.activeElement);
  const name = body.contains(focused) && [focused.closest('tr')?.dataset.name, focused.dataset.act];
  body.replaceChildren(...rows);
  if (!name) return;
  const same = rows.find((row) => row.dataset.name === name[0]);
  const target = same?.querySelector(`[data-act="${name[1]}"]`) ?? document.querySelector('#main h1');
  target?.focus();
}

/** A cell that names its column where the table has no head: on a phone. */
export const cell = (column, ...content) => h('td', { 'data-column': column }, ...content);

/** A button of a row. */
export const act = (name, label, onclick, subject) =>
  h('button', { class: 'button small', type: 'button', 'data-act': name, onclick, 'aria-label': `${label} ${subject}` }, label);
