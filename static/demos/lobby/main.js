import { randomHex } from '../../client/random.js';
import { loadPeer } from '../../shared/peer.js';
import { show, startPage } from '../../shared/start-page.js';
import { pageUrl } from '../../shared/settings.js';
import { setStatus } from '../../shared/status.js';
import { recall, remember } from '../../shared/storage.js';
import { enableCopyLink, showJoinLink } from '../../shared/join-link.js';
import { Lobby } from './lobby.js';

const element = (id) => document.getElementById(id);

startPage(async () => {
  await loadPeer();
  // Hard to guess, so that strangers do not come in.
  const code = decodeURIComponent(location.hash.slice(1)) || randomHex(8);
  showLink(code);
  enableCopyLink();

  setStatus('ready', 'Not entered yet');
  show('enter');
  element('name').value = recall('name') ?? '';
  element('name').focus();
  element('enter').querySelector('form').addEventListener('submit', (event) => {
    event.preventDefault();
    const name = element('name').value.trim();
    if (!name) return;
    remember('name', name);
    element('enter').hidden = true;
    show('lobby');
    element('people-title').focus();
    new Lobby(code, name, showLink).start();
  });
});

/** Shows the link of a lobby, which is this page's address. */
function showLink(code) {
  const here = pageUrl({}, code);
  history.replaceState(null, '', here);
  showJoinLink(here, 'QR code with the link to this lobby');
}
