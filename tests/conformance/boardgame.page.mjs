// A page of a player: the game of boardgame.io's tutorial for three, over its peer-to-peer transport, as its README uses it.

import { P2P } from '@boardgame.io/p2p';
import { Client } from 'boardgame.io/client';

const game = {
  name: 'three-in-a-row',
  setup: () => ({ cells: Array(9).fill(null) }),
  turn: { minMoves: 1, maxMoves: 1 },
  moves: {
    clickCell: ({ G, playerID }, cell) => {
      G.cells[cell] = playerID;
    },
  },
};

window.errors = [];

/** Joins the match at the server that this page is from. */
window.join = (playerID, isHost) => {
  const peerOptions = { host: location.hostname, port: location.port, path: '/', config: { iceServers: [] } };
  const onError = (error) => window.errors.push(`${error.type}: ${error.message}`);
  window.client = Client({ game, matchID: 'match', playerID, numPlayers: 3, debug: false, multiplayer: P2P({ isHost, onError, peerOptions }) });
  window.client.start();
};

/** Resolves when this player sees these cells. */
window.sees = (cells) => new Promise((seen) => {
  const unsubscribe = window.client.subscribe((state) => {
    if (state?.G.cells.map((cell) => cell ?? '-').join('') !== cells) return;
    // It may not be known yet.
    queueMicrotask(() => unsubscribe());
    seen();
  });
});
