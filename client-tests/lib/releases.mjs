// The differences between PeerJS releases that tests can notice.

import { isThorough } from './thorough.mjs';

export const releases = {
  '0.3.14': release({
    script: 'peer.min.js',
    streams: true,
    refusedListing: 'an empty list',
    // Sends a string unchanged with 'none'; later releases call that 'raw'.
    asIs: 'none',
    closesLate: true,
  }),
  '0.3.24': release({
    streams: true,
    refusedListing: 'an empty list',
    asIs: 'none',
    // It overwrites the option with "peerjs".
    honoursKey: false,
    closesLate: true,
  }),
  '1.0.0': release({ asIs: 'none', closesLate: true }),
  '1.3.2': release({ asIs: 'none' }),
  '1.5.5': release({}),
  '2.0.0-beta.3': release({}),
};

// The first with streams, the first without, and the one that most pages have.
const DISTINCT = ['0.3.14', '1.0.0', '1.5.5'];

/** The releases to test with their differences: the most distinct three, or every one. */
export function chosenReleases() {
  const all = Object.entries(releases);
  return isThorough ? all : all.filter(([version]) => DISTINCT.includes(version));
}

function release(differences) {
  return {
    script: 'peerjs.min.js',
    asIs: 'raw',
    honoursKey: true,
    // It opens an HTTP stream beside its WebSocket, and works with the stream alone.
    streams: false,
    refusedListing: 'an error',
    // The close of its old socket disconnects a Peer that has reconnected.
    closesLate: false,
    ...differences,
  };
}
