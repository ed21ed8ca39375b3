import { randomHex } from '../../client/random.js';
import { loadLibrary, requireWebRtc } from '../../shared/library.js';
import { show, startPage } from '../../shared/start-page.js';
import { pageUrl } from '../../shared/settings.js';
import { enableCopyLink, showJoinLink } from '../../shared/join-link.js';
import { startBoard } from './board.js';

// In letters: a topic of the broker has at most 256 bytes.
const LONGEST = 60;

startPage(async () => {
  await loadLibrary('SimplePeer', 'simple-peer');
  await loadLibrary('Yjs', 'Yjs');
  await requireWebRtc();
  // Hard to guess, so that strangers do not come in.
  const code = [...decodeURIComponent(location.hash.slice(1))].slice(0, LONGEST).join('') || randomHex(8);
  const here = pageUrl({}, code);
  history.replaceState(null, '', here);
  showJoinLink(here, 'QR code with the link to this board');
  enableCopyLink();
  show('board');
  startBoard(code);
});
