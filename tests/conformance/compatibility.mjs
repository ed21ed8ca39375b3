// What works with the server, by the recorded results of the suites: docs/COMPATIBILITY.md, and the table of README.
//
// Usage: node conformance/compatibility.mjs

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../../scripts/test/log.mjs';

const RESULTS = join(import.meta.dirname, 'results.json');

/** @typedef {{ client: string, how?: string, differs?: string, untried?: string, suites?: string[], mark?: string, isPart?: boolean, inReadme?: boolean }} Client */

/** @type {() => Record<string, { release: string, outcome: 'passed' | 'failed', result: string, date: string, commit: string }>} */
const results = () => JSON.parse(readFileSync(RESULTS, 'utf8'));

const EXPLAINED = '../tests/conformance/README.md';
const PEERJS = ['0.3.14', '0.3.24', '1.0.0', '1.3.2', '1.5.5', '2.0.0-beta.3'].map((version) => `peerjs-${version}`);
const TURN = ['coturn', 'aioice', 'pion', 'werift', 'libjuice', 'libnice'];

/**
 * The clients, those of README first. `how` says what was run, by the suites, by `make test` where there is a `mark`. One with neither was not
 * tried.
 * @type {Client[]}
 */
const CLIENTS = [
  { client: 'PeerJS 0.3.14 to 2.0.0-beta.3', suites: [...PEERJS, 'peerjs-e2e'], how: '1.5.5 by its own tests; all in our pages', untried: 'other releases than 1.5.5 in Firefox', inReadme: true },
  { client: 'Trystero, Self-hosted LiveSync', suites: ['trystero', 'trystero-relays', 'ws-relay', 'livesync'], how: 'by their own tests: Nostr, torrent, `ws-relay`', differs: `[some frames](${EXPLAINED}#topics)`, untried: 'LiveSync in Obsidian', inReadme: true },
  { client: 'y-webrtc', suites: ['y-webrtc'], how: 'beside its server, frame by frame; in browsers', differs: `[some frames](${EXPLAINED}#topics)`, inReadme: true },
  { client: 'RxDB', suites: ['rxdb'], how: 'beside its server, frame by frame; in browsers', differs: `[some frames](${EXPLAINED}#rooms-of-rxdb)`, inReadme: true },
  { client: 'WebTorrent', suites: ['tracker-client', 'tracker', 'aquatic'], how: "by its tracker's own tests; in browsers", differs: `[some tests](${EXPLAINED}#the-trackers-tests), [some frames](${EXPLAINED}#swarms)`, inReadme: true },
  { client: 'Matchbox', suites: ['matchbox', 'matchbox-server'], how: 'with its own socket; beside its server, frame by frame', differs: `[a frame](${EXPLAINED}#rooms-of-matchbox)`, untried: 'its socket in browsers', inReadme: true },
  { client: 'FilePizza, Chitchatter, reveal-peerjs', suites: ['filepizza', 'chitchatter', 'reveal'], how: 'by their own tests', inReadme: true },
  { client: 'TURN: coturn, Pion, aioice, werift, libjuice, libnice', suites: TURN, how: 'by their own clients', differs: `[no RFC 5780](${EXPLAINED}#coturn-and-aioice)`, untried: 'libjuice and libnice over TLS', inReadme: true },
  { client: 'TURN for Synapse', suites: ['synapse'], how: 'with a real homeserver', untried: 'its clients', inReadme: true },
  { client: 'TURN for Nextcloud Talk, Jitsi', mark: '◐', how: 'with their credentials', untried: 'these servers themselves', inReadme: true },
  { client: 'Socket.IO, y-websocket', mark: '❌', how: 'other protocols', inReadme: true },
  { client: 'PeerJS in Node', suites: ['peerjs-node'], isPart: true, how: 'data, by three libraries for WebRTC', untried: 'sound, pictures; Deno, Bun' },
  { client: 'PeerJS in Node 20 to 24, Deno, Bun, over pipes', mark: '◐', how: 'data, with Chromium', untried: 'other browsers' },
  { client: 'PeerJS in React Native, over pipes', mark: '◐', how: 'its parts, in Hermes and without a DOM', untried: 'an app on a phone' },
  { client: '`examples/peer.py` in Python, over pipes', mark: '◐', how: 'JSON, texts and bytes, with Chromium', untried: 'other browsers' },
  { client: '@boardgame.io/p2p', suites: ['boardgame'], how: 'in a game of ours' },
  { client: 'peerjs-py', suites: ['peerjs-py'], isPart: true, how: 'data', differs: `[needs an id](${EXPLAINED}#clients-in-python)`, untried: 'sound, pictures' },
  { client: 'peerjs-go', suites: ['peerjs-go'], isPart: true, how: 'data', differs: `[bytes only](${EXPLAINED}#peerjs-go)`, untried: 'sound, pictures' },
  { client: 'the relay: six stacks', suites: ['relay'], isPart: true, how: 'each with each', differs: '[six pairs](CALLS-MEASURED.md#other-stacks)' },
  { client: 'browsers without WebRTC', suites: ['webkit', 'wpt'], isPart: true, how: 'data in WebKitGTK; web-platform-tests', differs: `[no sound, no pictures](${EXPLAINED}#webkitgtk)` },
  { client: 'WebSockets; the API', suites: ['autobahn', 'schemathesis'], how: 'by Autobahn; by Schemathesis', differs: `[no compression](${EXPLAINED}#autobahn)` },
  { client: 'apps of Express and npm\'s `peer` 1.x', mark: '✅', how: 'with the npm package, in Node', untried: 'Deno, Bun' },
  { client: 'Nostr without Trystero', suites: ['relay-tester'], isPart: true, how: 'by relay-tester', differs: `[it stores nothing](${EXPLAINED}#relay-tester)`, untried: 'any client' },
  { client: 'Safari, Edge, Flutter (peerdart)', untried: 'all of them' },
];

/** @type {(one: Client, known: ReturnType<typeof results>) => string} */
function markOf({ suites = [], mark = 'not tried', isPart = false }, known) {
  if (suites.length === 0) return mark;
  const outcomes = suites.map((suite) => known[suite]?.outcome);
  if (!outcomes.includes('passed')) return outcomes.includes('failed') ? '❌' : 'not tried';
  return isPart || outcomes.some((outcome) => outcome !== 'passed') ? '◐' : '✅';
}

const row = (...cells) => `|${cells.join('|')}|`;
const table = (head, rows) => [row(...head), row(...head.map(() => '-')), ...rows].join('\n');

/** The documents that have results, by their names, with the text that they should have. */
export function pages() {
  const known = results();
  const unnamed = Object.keys(known).filter((suite) => !CLIENTS.some(({ suites = [] }) => suites.includes(suite)));
  if (unnamed.length > 0) throw new Error(`no client has the suites ${unnamed.join(', ')}`);
  const clients = CLIENTS.map((one) => row(one.client, markOf(one, known), one.how, one.differs, one.untried, (one.suites ?? []).map((suite) => `\`${suite}\``).join(', ')));
  const runs = Object.entries(known).map(([suite, { release, outcome, result, date, commit }]) => (
    row(`\`${suite}\``, release, outcome === 'passed' ? result : `**failed:** ${result}`, `${date}, ${commit}`)));
  const page = [
    '# Compatibility',
    `\`make conformance\` lets [suites that others wrote](${EXPLAINED}) judge the server, and makes this page of their last results. ✅ works, ◐ works in part, ❌ does not.`,
    table(['client', '', 'how', 'differs', 'not tried', 'suites'], clients),
    '## Runs',
    table(['suite', 'of', 'result', 'when, at the commit'], runs),
    '',
  ].join('\n\n').replace(/\n+$/, '\n');
  const first = CLIENTS.filter(({ inReadme }) => inReadme);
  const ofReadme = table(['client', '', 'how'], first.map((one) => row(one.client, markOf(one, known), one.how)));
  const [before, rest] = readFileSync(join(root, 'README.md'), 'utf8').split('<!-- compatibility -->\n');
  const [, after] = rest.split('<!-- end of compatibility -->');
  return { 'docs/COMPATIBILITY.md': page, 'README.md': `${before}<!-- compatibility -->\n\n${ofReadme}\n\n<!-- end of compatibility -->${after}` };
}

/** Keeps the result of a suite, and writes the documents. */
export function record(suite, result) {
  writeFileSync(RESULTS, `${JSON.stringify({ ...results(), [suite]: result }, null, 2)}\n`);
  write();
}

function write() {
  for (const [name, text] of Object.entries(pages())) writeFileSync(join(root, name), text);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) write();
