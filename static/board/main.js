import { loadLibrary, requireWebRtc } from '../library.js';
import { show, startPage } from '../page.js';
import { pageUrl } from '../settings.js';
import { enableCopyLink, showWay } from '../join-link.js';
import { startBoard } from './board.js';

// In letters: a topic of the broker has at most 256 bytes.
const LONGEST = 60;

startPage(async () => {
  await loadLibrary('SimplePeer', 'simple-peer');
  await loadLibrary('Yjs', 'Yjs');
  requireWebRtc();
  const code = [...decodeURIComponent(location.hash.slice(1))].slice(0, LONGEST).join('') || newCode();
  const here = pageUrl({}, code);
  history.replaceState(null, '', here);
  showWay(here, 'QR code with the link to this board');
  enableCopyLink();
  show('board');
  startBoard(code);
});

/** Hard to guess, so that strangers do not come in. */
function newCode() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
