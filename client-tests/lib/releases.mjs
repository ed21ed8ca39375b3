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
  // It counts an emoji in BinaryPack as six bytes, and sends four.
  '2.0.0-beta.3': release({ packsEmoji: false }),
};

// The one that most pages have, the first with streams, and the first without.
const DISTINCT = ['1.5.5', '0.3.14', '1.0.0'];
let turn = 0;

/**
 * The releases with which to test a behaviour, with their differences: one of the most distinct three, which take turns in each file,
 * or every one. `unless(release)` leaves out those that cannot do it.
 */
export function chosenReleases(unless) {
  const able = Object.entries(releases).filter(([, release]) => !unless(release));
  if (isThorough) return able;
  const versions = DISTINCT.filter((version) => !unless(releases[version]));
  if (versions.length === 0) return [];
  const chosen = versions[turn % versions.length];
  turn += 1;
  return able.filter(([version]) => version === chosen);
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
    packsEmoji: true,
    ...differences,
  };
}
