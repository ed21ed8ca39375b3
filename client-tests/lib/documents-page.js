// Runs in the pages of a shared document: Yjs with y-webrtc, as apps have them. Built by pages.mjs, which keeps pages of one
// browser from talking to each other without the network.

import { WebrtcProvider } from 'y-webrtc';
import * as Y from 'yjs';

window.harness = (() => {
  const { record, next, must, count, story } = window.log;
  const doc = new Y.Doc();
  const shared = doc.getMap('shared');
  let provider;

  shared.observe(({ keysChanged, transaction }) => {
    if (!transaction.local) keysChanged.forEach((key) => record('heard', `${key}: ${shared.get(key)}`));
  });

  /** Opens the document of a room, on the way of these servers. */
  function open({ urls, room, name, password }) {
    provider = new WebrtcProvider(room, doc, { signaling: urls, password, filterBcConns: false, peerOpts: { config: { iceServers: [] } } });
    provider.on('status', () => record('opened'));
    provider.on('peers', ({ added, removed }) => {
      added.forEach(() => record('met'));
      removed.forEach(() => record('lost'));
    });
    provider.awareness.on('update', ({ added }) => {
      const names = added.map((id) => provider.awareness.getStates().get(id)?.name).filter((other) => other !== name);
      names.forEach((other) => record('aware', other));
    });
    provider.awareness.setLocalStateField('name', name);
  }

  /** Leaves the room as an app does. */
  const leave = () => provider.destroy();

  const write = ({ key, value }) => shared.set(key, value);

  const read = () => shared.toJSON();

  return { open, leave, write, read, next, must, count, story };
})();
