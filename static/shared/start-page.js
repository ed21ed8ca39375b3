import { fetchIceServers, problemOfKey } from './ask-broker.js';
import { chosenKey, hasKey, peerOptions } from './settings.js';

/** Starts a demo, after asking for a key if there is none. On failure it shows the reason and a button to reload. */
export async function startPage(start) {
  window.dispatchEvent(new Event('demo-loaded'));

  // A link to another demo room or peer changes only the hash, but needs a fresh page.
  window.addEventListener('hashchange', () => location.reload());

  // A page restored from the browser's cache has lost its connections.
  window.addEventListener('pageshow', (event) => event.persisted && location.reload());

  try {
    const problem = chosenKey && (await problemOfKey());
    if (problem || !hasKey) {
      const { askForKey } = await import('./ask-key.js');
      return askForKey(problem);
    }
    peerOptions.config.iceServers = await fetchIceServers();
    await start();
  } catch (error) {
    document.querySelector('#status').hidden = true;
    document.querySelector('#broken-text').textContent = error.message;
    document.querySelector('#reload').onclick = () => location.reload();
    show('broken');
  }
}

/** Shows one part of a page. */
export function show(id) {
  document.getElementById(id).hidden = false;
}
