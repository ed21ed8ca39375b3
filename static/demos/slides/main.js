import { loadPeer, openPeer } from '../../shared/peer.js';
import { show, startPage } from '../../shared/start-page.js';
import { startPresenter } from './presenter.js';
import { startRemote } from './phone-remote.js';

const presenterId = new URLSearchParams(location.hash.slice(1)).get('remote');

startPage(async () => {
  document.body.dataset.mode = presenterId === null ? 'presenter' : 'remote';
  await loadPeer();
  const { mode } = document.body.dataset;
  const peer = await openPeer(mode);
  show(mode);
  if (presenterId === null) startPresenter(peer);
  else startRemote(peer, presenterId);
});
