import { enableCopy } from '../shared/copy.js';
import { broker } from '../shared/settings.js';

/** Fills the snippet with the broker's settings, and makes its button copy the result of `code()`: by default all of it. */
export function fillSnippet(code = () => document.querySelector('#snippet')) {
  const snippet = document.querySelector('#snippet');
  for (const [option, value] of Object.entries(broker)) {
    snippet.querySelector(`[data-option="${option}"]`).textContent = JSON.stringify(value);
  }
  enableCopy(document.querySelector('#copy-snippet'), () => code().textContent.trim());
}
