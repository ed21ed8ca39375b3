// The search of the documentation: the server sends the text of all sections once, and this page looks in it.

import { h } from '../shared/dom.js';

const MOST_RESULTS = 30;
const BEFORE = 60;
const SHOWN = 180;

const element = (id) => document.getElementById(id);
const field = /** @type {HTMLInputElement} */ (element('search'));
const article = /** @type {HTMLElement} */ (document.querySelector('.document'));

let sections;

load().catch(() => {});
field.addEventListener('input', search);
// A result may be a section of this document, which is hidden behind the results.
element('results').addEventListener('click', (event) => {
  if (!event.target.closest('a')) return;
  field.value = '';
  search();
});
// Somebody may have typed meanwhile.
search();

/** Resolves to the sections of all documents, each with its text. */
async function load() {
  sections ??= fetch(new URL('docs/index.json', document.baseURI)).then(async (response) => {
    if (!response.ok) throw new Error(`status ${response.status}`);
    return (await response.json()).map((section) => ({ ...section, lower: section.text.toLowerCase() }));
  });
  try {
    return await sections;
  } catch (error) {
    // The next key tries again.
    sections = undefined;
    throw error;
  }
}

async function search() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  article.hidden = words.length > 0;
  element('found').hidden = words.length === 0;
  if (words.length === 0) return;
  const asked = field.value;
  try {
    const all = await load();
    if (asked === field.value) show(find(all, words), words);
  } catch {
    element('results').replaceChildren();
    element('search-status').textContent = 'The server did not send the texts to search in. Try again.';
  }
}

/** The sections with all words, the best first. A word counts most in the section's title, then in the document's. */
function find(all, words) {
  const scored = all.map((section) => {
    const [title, of] = [section.title.toLowerCase(), section.document.toLowerCase()];
    const scores = words.map((word) => (title.includes(word) ? 8 : 0) + (of.includes(word) ? 3 : 0) + (section.lower.includes(word) ? 1 : 0));
    return { section, score: scores.includes(0) ? 0 : scores.reduce((sum, score) => sum + score) };
  });
  return scored.filter(({ score }) => score > 0).sort((a, b) => b.score - a.score).map(({ section }) => section);
}

function show(found, words) {
  const { length } = found;
  const more = length > MOST_RESULTS ? `, the first ${MOST_RESULTS} are below` : '';
  element('search-status').textContent = length === 0 ? 'No section has all these words.' : `${length} ${length === 1 ? 'section' : 'sections'} found${more}`;
  element('results').replaceChildren(...found.slice(0, MOST_RESULTS).map((section) => result(section, words)));
}

function result({ document: name, title, href, text, lower }, words) {
  // The longest word says most.
  const [word] = words.filter((each) => lower.includes(each)).sort((a, b) => b.length - a.length);
  const from = word ? startOfWord(text, lower.indexOf(word) - BEFORE) : 0;
  const shown = text.slice(from, from + SHOWN);
  return h(
    'li',
    {},
    h('a', { href }, marked(title, words)),
    h('span', { class: 'of' }, name === title ? '' : name),
    h('p', {}, from > 0 && '… ', marked(shown, words), from + SHOWN < text.length && ' …'),
  );
}

function startOfWord(text, place) {
  return place <= 0 ? 0 : text.indexOf(' ', place) + 1;
}

/** The text with its words in `<mark>` elements. */
function marked(text, words) {
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return text.split(new RegExp(`(${escaped.join('|')})`, 'i')).map((part, i) => (i % 2 === 0 ? part : h('mark', {}, part)));
}
