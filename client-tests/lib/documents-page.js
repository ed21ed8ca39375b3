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

  /** Resolves when a server has announced a page to all that are there, and to itself. */
  const announced = (server) => new Promise((done) => {
    server.on('message', ({ type }) => {
      if (type === 'publish') done(undefined);
    });
  });

  /**
   * Opens the document of a room, on the way of these servers, and waits until it is announced: of pages that hear of each other at once
   * both offer, and y-webrtc then loses what they say, with WebRTC too.
   */
  async function open({ urls, room, name, password }) {
    provider = new WebrtcProvider(room, doc, { signaling: urls, password, filterBcConns: false, peerOpts: { config: { iceServers: [] } } });
    // Of others it hears only over the connections between pages.
    const names = new Map();
    provider.awareness.on('update', ({ added, removed }) => {
      for (const id of added) names.set(id, provider.awareness.getStates().get(id)?.name);
      for (const id of added) if (id !== doc.clientID) record('met', names.get(id));
      for (const id of removed) if (id !== doc.clientID) record('lost', names.get(id));
    });
    provider.awareness.setLocalStateField('name', name);
    await Promise.all(provider.signalingConns.map(announced));
  }

  /** Leaves the room as an app does. */
  const leave = () => provider.destroy();

  const write = ({ key, value }) => shared.set(key, value);

  return { open, leave, write, next, must, count, story };
})();
