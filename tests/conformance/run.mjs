// Lets suites that others wrote judge the server: `make conformance`. It prints one line for each, and records it in results.json, of
// which docs/COMPATIBILITY.md and README are made. README.md explains what they found.
//
// Usage: node conformance/run.mjs [SUITE…]

import { execFileSync } from 'node:child_process';
import { aquatic } from './aquatic.mjs';
import { autobahn } from './autobahn.mjs';
import { boardgame } from './boardgame.mjs';
import { chitchatter } from './chitchatter.mjs';
import { record } from './compatibility.mjs';
import { filepizza } from './filepizza.mjs';
import { livesync } from './livesync.mjs';
import { matchboxServer } from './matchbox-server.mjs';
import { matchbox } from './matchbox.mjs';
import { peerjsE2e } from './peerjs-e2e.mjs';
import { peerjsGo } from './peerjs-go.mjs';
import { peerjsNode } from './peerjs-node.mjs';
import { peerjsPy } from './peerjs-py.mjs';
import { relayTester } from './relay-tester.mjs';
import { ofReleases } from './releases.mjs';
import { reveal } from './reveal.mjs';
import { rxdb } from './rxdb.mjs';
import { schemathesis } from './schemathesis.mjs';
import { libjuice, libnice, relay } from './stacks.mjs';
import { SYNAPSE, synapse } from './synapse.mjs';
import { Skipped } from './tools.mjs';
import { wsRelay, yWebrtc } from './topics.mjs';
import { trackerClient } from './tracker-client.mjs';
import { tracker } from './tracker.mjs';
import { trystero, trysteroRelays } from './trystero.mjs';
import { aioice, coturn, pion, werift } from './turn.mjs';
import { webkit } from './webkit.mjs';
import { wpt } from './wpt.mjs';

/** The suites: their releases, and how they run. */
const SUITES = {
  autobahn: ['autobahntestsuite 25.10.1', autobahn],
  schemathesis: ['schemathesis 4.32.5', schemathesis],
  coturn: ["coturn 4.6.1: `turnutils`", coturn],
  aioice: ['aioice 0.13.0', aioice],
  pion: ["Pion's turn 2.1.0", pion],
  werift: ['werift 0.25.2', werift],
  libjuice: ['node-datachannel 0.33.4', libjuice],
  libnice: ['libnice 0.1.21', libnice],
  synapse: [`Synapse ${SYNAPSE}`, synapse],
  relay: ["these, Pion's webrtc 3.1.56, aiortc 1.16.0, str0m 0.24.1", relay],
  ...ofReleases,
  'peerjs-e2e': ['PeerJS 1.5.5', peerjsE2e],
  boardgame: ['@boardgame.io/p2p 0.4.4', boardgame],
  reveal: ['reveal-peerjs 1.4.0', reveal],
  filepizza: ['FilePizza 2.0, `60704b4`', filepizza],
  chitchatter: ['Chitchatter, `a378d3f`', chitchatter],
  'peerjs-py': ['peerjs-py 0.1.1', peerjsPy],
  'peerjs-node': ['PeerJS 1.5.5; node-datachannel 0.33.4, @roamhq/wrtc 0.10.0, werift 0.25.2', peerjsNode],
  'peerjs-go': ['peerjs-go, `5b28944`', peerjsGo],
  webkit: ['WebKitGTK 2.50.6', webkit],
  wpt: ['web-platform-tests, `0d4f507`', wpt],
  trystero: ['Trystero 0.25.4', trystero],
  'trystero-relays': ['Trystero 0.25.4: `test-relays.ts`', trysteroRelays],
  livesync: ['Self-hosted LiveSync 0.25.80', livesync],
  'relay-tester': ['relay-tester, `3276f71`', relayTester],
  'ws-relay': ['Trystero 0.25.4: `ws-relay`', wsRelay],
  'y-webrtc': ['y-webrtc 10.3.0: `bin/server.js`', yWebrtc],
  rxdb: ['RxDB 17.6.0: its server', rxdb],
  tracker: ['bittorrent-tracker 11.2.3: its server', tracker],
  'tracker-client': ['bittorrent-tracker 11.2.3', trackerClient],
  aquatic: ['aquatic_ws_load_test 0.9.0', aquatic],
  matchbox: ['matchbox_socket 0.15.0', matchbox],
  'matchbox-server': ['matchbox_server 0.15.0', matchboxServer],
};

const git = (...words) => execFileSync('git', words, { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
const [date, commit] = [new Date().toISOString().slice(0, 10), git('rev-parse', '--short=8', 'HEAD')];
const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !SUITES[name]);
if (unknown) {
  console.error(`error: ${unknown} is no suite: expected some of ${Object.keys(SUITES).join(', ')}`);
  process.exit(2);
}
for (const name of wanted.length > 0 ? wanted : Object.keys(SUITES)) {
  const [release, run] = SUITES[name];
  const say = (outcome, result) => {
    console.log(`${outcome.padEnd(8)}${name}: ${result}`);
    // What is skipped keeps its last result.
    if (outcome !== 'skipped') record(name, { release, outcome, result, date, commit });
  };
  try {
    say('passed', await run());
  } catch (error) {
    if (error instanceof Skipped) {
      say('skipped', error.message);
    } else {
      say('failed', error.message);
      process.exitCode = 1;
    }
  }
}
