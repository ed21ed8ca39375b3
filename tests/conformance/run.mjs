// Lets suites that others wrote judge the server, and prints one line for each: `make conformance`. README.md says what they found.
//
// Usage: node conformance/run.mjs [SUITE…]

import { aquatic } from './aquatic.mjs';
import { autobahn } from './autobahn.mjs';
import { boardgame } from './boardgame.mjs';
import { chitchatter } from './chitchatter.mjs';
import { filepizza } from './filepizza.mjs';
import { matchboxServer } from './matchbox-server.mjs';
import { matchbox } from './matchbox.mjs';
import { peerjsE2e } from './peerjs-e2e.mjs';
import { peerjsGo } from './peerjs-go.mjs';
import { peerjsNode } from './peerjs-node.mjs';
import { peerjsPy } from './peerjs-py.mjs';
import { reveal } from './reveal.mjs';
import { rxdb } from './rxdb.mjs';
import { schemathesis } from './schemathesis.mjs';
import { libjuice, libnice, relay } from './stacks.mjs';
import { Skipped } from './tools.mjs';
import { wsRelay, yWebrtc } from './topics.mjs';
import { trackerClient } from './tracker-client.mjs';
import { tracker } from './tracker.mjs';
import { trystero } from './trystero.mjs';
import { aioice, coturn, pion, werift } from './turn.mjs';
import { webkit } from './webkit.mjs';
import { wpt } from './wpt.mjs';

const SUITES = {
  autobahn, schemathesis, coturn, aioice, pion, werift, libjuice, libnice, relay, 'peerjs-e2e': peerjsE2e, boardgame, reveal, filepizza, chitchatter,
  'peerjs-py': peerjsPy, 'peerjs-node': peerjsNode, 'peerjs-go': peerjsGo, webkit, wpt, trystero, 'ws-relay': wsRelay, 'y-webrtc': yWebrtc, rxdb, tracker, 'tracker-client': trackerClient, aquatic, matchbox, 'matchbox-server': matchboxServer,
};

const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !SUITES[name]);
if (unknown) {
  console.error(`error: ${unknown} is no suite: expected some of ${Object.keys(SUITES).join(', ')}`);
  process.exit(2);
}
for (const name of wanted.length > 0 ? wanted : Object.keys(SUITES)) {
  const say = (outcome, text) => console.log(`${outcome.padEnd(8)}${name}: ${text}`);
  try {
    say('passed', await SUITES[name]());
  } catch (error) {
    if (error instanceof Skipped) {
      say('skipped', error.message);
    } else {
      say('failed', error.message);
      process.exitCode = 1;
    }
  }
}
