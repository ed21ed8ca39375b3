// The page that answers the registration form, with or without a key.
import { enableCopy } from '../shared/copy.js';
import { fillSnippet } from '../landing/fill-snippet.js';

const key = document.querySelector('#key');
if (key) {
  enableCopy(document.querySelector('#copy-key'), () => key.textContent);
  fillSnippet();
}
