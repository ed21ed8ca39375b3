import { loadPeer } from '../broker.js';
import { startPresenter } from './presenter.js';
import { startRemote } from './remote.js';

const show = (selector) => (document.querySelector(selector).hidden = false);

const presenterId = new URLSearchParams(location.hash.slice(1)).get('remote');

// Another link opened in this tab changes only the hash, but is another remote.
window.addEventListener('hashchange', () => location.reload());

// A page that the browser kept in memory has lost its connections.
window.addEventListener('pageshow', (event) => event.persisted && location.reload());

try {
  document.body.dataset.mode = presenterId === null ? 'presenter' : 'remote';
  await loadPeer();
  if (presenterId === null) {
    show('#presenter');
    startPresenter();
  } else {
    show('#remote');
    startRemote(presenterId);
  }
} catch (error) {
  document.querySelector('#status').hidden = true;
  document.querySelector('#broken-text').textContent = error.message;
  document.querySelector('#reload').addEventListener('click', () => location.reload());
  show('#broken');
}
