import { loadPeer } from '../../shared/broker.js';
import { show, startPage } from '../../shared/page.js';
import { startPresenter } from './presenter.js';
import { startRemote } from './remote.js';

const presenterId = new URLSearchParams(location.hash.slice(1)).get('remote');

startPage(async () => {
  document.body.dataset.mode = presenterId === null ? 'presenter' : 'remote';
  await loadPeer();
  if (presenterId === null) {
    show('presenter');
    startPresenter();
  } else {
    show('remote');
    startRemote(presenterId);
  }
});
