// The page that answers the registration form, with or without a key.
import { enableCopy } from './copy.js';
import { fillSnippet } from './snippet.js';

const key = document.querySelector('#key');
if (key) {
  enableCopy(document.querySelector('#copy-key'), () => key.textContent);
  fillSnippet();
}
