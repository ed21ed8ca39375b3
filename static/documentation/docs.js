// The documentation: its examples with the address of this broker and a button to copy them, and the search. The server sends the text
// of all sections once, and this page looks in it.

import { enableCopy } from '../shared/copy.js';
import { broker } from '../shared/settings.js';

const MOST_RESULTS = 30;
const BEFORE = 60;
const SHOWN = 180;

const element = (id) => document.getElementById(id);
const field = /** @type {HTMLInputElement} */ (element('search'));
const article = /** @type {HTMLElement} */ (document.querySelector('.document'));

let sections;

showOwnAddress();
article.querySelectorAll('pre').forEach(addCopy);

element('search-form').hidden = false;
element('search-form').addEventListener('submit', (event) => {
  event.preventDefault();
  document.querySelector('#results a')?.focus();
});
field.addEventListener('focus', () => load().catch(() => {}), { once: true });
field.addEventListener('input', search);
// A result may be a section of this document, which is hidden behind the results.
element('results').addEventListener('click', (event) => {
  if (!event.target.closest('a')) return;
  field.value = '';
  search();
});

/** The browser knows the address best: a proxy may have changed it. Addresses without quotes are those of shells and logs. */
function showOwnAddress() {
  const { host, port, path, secure } = broker;
  const options = `host: '${host}', port: ${port}, path: '${path}'${secure ? ', secure: true' : ''}`;
  const texts = document.createTreeWalker(article, NodeFilter.SHOW_TEXT, ({ parentElement }) =>
    parentElement?.closest('code') ? NodeFilter.FILTER_ACCEPT : NodeFilter.FILTER_SKIP);
  while (texts.nextNode()) {
    const { data } = /** @type {Text} */ (texts.currentNode);
    // A text in a sentence may be only an address.
    const own = data
      .replace(/^ws:\/\/localhost:9000\//, () => location.origin.replace(/^http/, 'ws') + path)
      .replace(/(["'])(http|ws):\/\/localhost:9000\//g, (_, quote, scheme) => quote + location.origin.replace(/^http/, scheme) + path)
      .replace(/(src=")\/(?=\w+\.js")/g, (_, start) => start + path)
      .replace(/host: 'localhost', port: 9000/g, () => options);
    if (own !== data) texts.currentNode.textContent = own;
  }
}

function addCopy(block) {
  const button = document.createElement('button');
  button.className = 'button small';
  button.type = 'button';
  button.textContent = 'Copy';
  button.setAttribute('aria-live', 'polite');
  const frame = document.createElement('div');
  frame.className = 'code';
  block.replaceWith(frame);
  frame.append(block, button);
  enableCopy(button, () => block.textContent.trimEnd());
}

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
  const link = document.createElement('a');
  link.href = href;
  link.append(...marked(title, words));
  const of = document.createElement('span');
  of.className = 'of';
  of.textContent = name === title ? '' : name;
  const excerpt = document.createElement('p');
  // The longest word says most.
  const [word] = words.filter((each) => lower.includes(each)).sort((a, b) => b.length - a.length);
  const from = word ? startOfWord(text, lower.indexOf(word) - BEFORE) : 0;
  const shown = text.slice(from, from + SHOWN);
  excerpt.append(from > 0 ? '… ' : '', ...marked(shown, words), from + SHOWN < text.length ? ' …' : '');
  const item = document.createElement('li');
  item.append(link, of, excerpt);
  return item;
}

function startOfWord(text, place) {
  return place <= 0 ? 0 : text.indexOf(' ', place) + 1;
}

/** The text with its words in `<mark>` elements. */
function marked(text, words) {
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return text.split(new RegExp(`(${escaped.join('|')})`, 'i')).map((part, i) => {
    if (i % 2 === 0) return part;
    const mark = document.createElement('mark');
    mark.textContent = part;
    return mark;
  });
}
