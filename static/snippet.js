import { enableCopy } from './copy.js';
import { broker } from './settings.js';

/** Fills the snippet with the broker's settings and enables its copy button. */
export function fillSnippet() {
  const snippet = document.querySelector('#snippet');
  for (const [option, value] of Object.entries(broker)) {
    snippet.querySelector(`[data-option="${option}"]`).textContent = JSON.stringify(value);
  }
  enableCopy(document.querySelector('#copy-snippet'), () => snippet.textContent.trim());
}
