// The answer to the form that registers a key: with a key, or without.
import { enableCopy } from './copy.js';
import { fillSnippet } from './snippet.js';

const key = document.querySelector('#key');
if (key) {
  enableCopy(document.querySelector('#copy-key'), () => key.textContent);
  fillSnippet();
}
