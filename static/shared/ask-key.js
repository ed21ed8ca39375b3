import { chosenKey } from './settings.js';
import { setStatus } from './status.js';

/** Shows the form of parts/ask-key.html. The page loads again with the key that somebody enters. */
export function askForKey(problem) {
  const field = document.querySelector('#key');
  const error = document.querySelector('#key-problem');
  field.value = chosenKey;
  error.textContent = problem;
  error.hidden = !problem;
  document.querySelector('#ask-key form').addEventListener('submit', (event) => {
    event.preventDefault();
    const url = new URL(location.href);
    url.searchParams.set('key', field.value.trim());
    // The hash names the room or the peer, so it stays; with it, another address alone would not load the page.
    history.replaceState(null, '', url);
    location.reload();
  });
  setStatus(problem ? 'failed' : 'ready', 'A key is needed');
  document.querySelector('#ask-key').hidden = false;
  field.focus();
}
