// The documentation: its examples with the address of this broker and a button to copy them, and the field of the search.

import { enableCopy } from '../shared/copy.js';
import { h } from '../shared/dom.js';
import { broker } from '../shared/settings.js';

const element = (id) => document.getElementById(id);
const field = element('search');
const article = /** @type {HTMLElement} */ (document.querySelector('.document'));

showOwnAddress();
article.querySelectorAll('pre').forEach(addCopy);

element('search-form').hidden = false;
element('search-form').addEventListener('submit', (event) => {
  event.preventDefault();
  document.querySelector('#results a')?.focus();
});
// Most readers do not search. If it did not load, the next focus tries again.
field.addEventListener('focus', () => import('./search.js').catch(() => {}));

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
  const button = h('button', { class: 'button small', type: 'button', 'aria-live': 'polite' }, 'Copy');
  const frame = h('div', { class: 'code' });
  block.replaceWith(frame);
  frame.append(block, button);
  enableCopy(button, () => block.textContent.trimEnd());
}
