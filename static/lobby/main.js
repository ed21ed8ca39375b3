import { loadPeer } from '../broker.js';
import { show, startPage } from '../page.js';
import { pageUrl } from '../settings.js';
import { setStatus } from '../status.js';
import { recall, remember } from '../storage.js';
import { enableCopyLink, showWay } from '../join-link.js';
import { Lobby } from './lobby.js';

const element = (id) => document.getElementById(id);

startPage(async () => {
  await loadPeer();
  const code = decodeURIComponent(location.hash.slice(1)) || newCode();
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
  showWay(here, 'QR code with the link to this lobby');
}

/** Hard to guess, so that strangers do not come in. */
function newCode() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
