import { enableCopy } from './copy.js';
import { broker } from './settings.js';

/** Puts what this page knows of its broker into the snippet, and lets it be copied. */
export function fillSnippet() {
  const snippet = document.querySelector('#snippet');
  for (const [option, value] of Object.entries(broker)) {
    snippet.querySelector(`[data-option="${option}"]`).textContent = JSON.stringify(value);
  }
  enableCopy(document.querySelector('#copy-snippet'), () => snippet.textContent.trim());
}
