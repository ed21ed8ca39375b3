import { loadLibrary, requireWebRtc } from '../../shared/library.js';
import { show, startPage } from '../../shared/start-page.js';
import { startHost } from './host.js';
import { startPlayer } from './player.js';

const room = new URLSearchParams(location.search).get('room');

startPage(async () => {
  document.body.dataset.mode = room === null ? 'host' : 'player';
  await loadLibrary('SimplePeer', 'simple-peer');
  await requireWebRtc();
  if (room === null) {
    show('host');
    startHost();
  } else {
    show('player');
    startPlayer(room);
  }
});
