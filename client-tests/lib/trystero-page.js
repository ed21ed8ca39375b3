// Runs in the pages of a room of Trystero: its default strategy, Nostr, as apps have it. Built by pages.mjs.

import { joinRoom } from '@trystero-p2p/nostr';

window.harness = (() => {
  const { record, next, must, count, story } = window.log;
  let room;
  let say;

  /** Joins a room, on the way of these relays. */
  function open({ urls, id, password }) {
    room = joinRoom({ appId: 'peerbroker', password, relayConfig: { urls }, rtcConfig: { iceServers: [] } }, id);
    room.onPeerJoin = (peer) => record('met', peer);
    room.onPeerLeave = (peer) => record('lost', peer);
    say = room.makeAction('say');
    say.onMessage = (text) => record('heard', text);
  }

  /** Tells all others of the room, over their connections. */
  const tell = (text) => say.send(text);

  /** Leaves the room as an app does. */
  const leave = () => room.leave();

  return { open, tell, leave, next, must, count, story };
})();
