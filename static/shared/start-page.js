import { checkKey, fetchIceServers } from './ask-broker.js';
import { chosenKey, hasKey, peerOptions } from './settings.js';
import { setStatus } from './status.js';

/** Starts a demo, after asking for a key if there is none. On failure it shows the reason and a button to reload. */
export async function startPage(start) {
  window.dispatchEvent(new Event('demo-loaded'));

  // A link to another demo room or peer changes only the hash, but needs a fresh page.
  window.addEventListener('hashchange', () => location.reload());

  // A page restored from the browser's cache has lost its connections.
  window.addEventListener('pageshow', (event) => event.persisted && location.reload());

  if (!hasKey) {
    askForKey('');
    return;
  }
  try {
    if (chosenKey) await checkKey();
  } catch (error) {
    askForKey(error.message);
    return;
  }

  try {
    peerOptions.config.iceServers = await fetchIceServers();
    await start();
  } catch (error) {
    document.querySelector('#status').hidden = true;
    document.querySelector('#broken-text').textContent = error.message;
    document.querySelector('#reload').onclick = () => location.reload();
    show('broken');
  }
}

function askForKey(problem) {
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
  show('ask-key');
  field.focus();
}

/** Shows one part of a page. */
export function show(id) {
  document.getElementById(id).hidden = false;
}
