// The state of the server: readiness, version, certificate, cluster, and the fate of clients and messages.

import { api } from './api.js';
import { h } from './shared/dom.js';
import { live } from './live.js';
import { bytes, closedWords, count, date, duration, mediaWords, outcomeWords, plural, refusedWords, sentence } from './words.js';

const INTERVAL = 5_000;
const DAY = 86_400;

export function healthView(main) {
  const content = h('div', { class: 'health' });
  main.append(h('h1', { tabindex: '-1' }, 'Health'), content);
  let isOver = false;
  let timer;

  async function look() {
    try {
      const stats = await api('GET', '/api/stats');
      if (isOver) return;
      const hasFocus = content.contains(document.activeElement);
      if (!hasFocus) content.replaceChildren(...sections(stats));
    } catch (error) {
      if (!isOver && content.children.length === 0) content.replaceChildren(h('p', { class: 'problem' }, error.message));
    }
    if (!isOver) timer = setTimeout(look, INTERVAL);
  }

  const ending = new AbortController();
  live.addEventListener('tick', () => content.querySelector('.ready')?.replaceWith(ready()), { signal: ending.signal });
  look();
  return () => {
    isOver = true;
    ending.abort();
    clearTimeout(timer);
  };
}

function sections(stats) {
  const { relay, turn, pipes, cluster } = stats;
  return [
    section('Server', [ready(), facts(serverFacts(stats))]),
    cluster && section('Cluster', [facts(clusterFacts(cluster)), nodes(cluster)]),
    relay && section('Relay', [facts(mediaFacts(relay))]),
    turn && section('STUN and TURN', [facts(mediaFacts(turn))]),
    pipes && section('Pipes', [facts(numbers(pipeNumbers(pipes))), ...pipeTable(pipes.largest)]),
    section('Why clients were refused', [reasons(stats.refused, refusedWords, 'Nobody was refused since the start.')]),
    section('Why connections ended', [reasons(stats.closed, (label) => `The client ${closedWords(label)}`, 'No connection has ended since the start.')]),
    section('What became of messages', [messages(stats.messages)]),
  ].filter(Boolean);
}

const section = (title, content) => h('section', { class: 'card' }, h('h2', {}, title), content);

const facts = (entries) => h('dl', { class: 'details' }, Object.entries(entries).flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]));

function ready() {
  const { unready } = live;
  if (!unready) return h('p', { class: 'ready' }, 'Asking whether it is ready…');
  if (unready.length === 0) return h('p', { class: 'ready', 'data-ready': 'true' }, 'Ready for clients');
  return h('p', { class: 'ready', 'data-ready': 'false' }, `Not ready for clients: ${unready.join('; ')}`);
}

function serverFacts({ version, uptime, keys, active_keys: active, certificate }) {
  return {
    'Version': version,
    'Up for': duration(uptime),
    'Clients find it at': h('code', {}, document.documentElement.dataset.broker),
    'Keys': `${count(keys)}, ${count(active)} of them in use`,
    'Certificate': certificateWords(certificate),
  };
}

function certificateWords(certificate) {
  if (!certificate) return 'none: the server speaks plain HTTP';
  const { expires, error } = certificate;
  const left = expires && expires - Date.now() / 1000;
  const end = expires ? `${left > 0 ? 'until' : 'expired on'} ${date(expires)}${left > 0 ? ` (${Math.floor(left / DAY)} days)` : ''}` : 'its end cannot be read';
  return error ? h('span', { class: 'problem' }, `${end}. The last renewal failed: ${error}`) : end;
}

const clusterFacts = ({ node, state, total }) => ({
  'This node': node,
  'State': state === 'up' ? 'reaches the others' : h('span', { class: 'problem' }, 'cannot reach the others, and serves its own clients'),
  'Clients of all nodes': count(total.clients),
});

/** A table that scrolls by itself. The first cell of a row is its head, and a column may have none. */
function wide(label, columns, rows) {
  const head = columns.map((column) => (column ? h('th', { scope: 'col' }, column) : h('td')));
  const row = ([name, ...cells]) => h('tr', {}, h('th', { scope: 'row' }, name), cells.map((cell) => h('td', {}, cell)));
  return h('div', { class: 'wide', tabindex: '0', role: 'region', 'aria-label': label }, h('table', {}, h('thead', {}, h('tr', {}, head)), h('tbody', {}, rows.map(row))));
}

function nodes({ nodes: all }) {
  const row = ({ name, alive, stats }) => [name, alive ? 'alive' : 'gone', stats ? count(stats.clients) : '–', stats?.version ?? '–'];
  return wide('Nodes', ['Node', 'State', 'Clients', 'Version'], all.map(row));
}

const pipeNumbers = ({ open, opened, bytes: carried, closed }) => ({ pipes: open, opened, carried_bytes: carried, closed });

/** The pipes that have carried the most, if there are any. */
function pipeTable(largest) {
  if (largest.length === 0) return [];
  const between = (addresses) => addresses.map((address) => address ?? 'unknown').join(' and ');
  const state = ({ open, stalled }) => (stalled ? 'one end does not read' : open ? 'open' : 'waits for an end');
  const row = (pipe) => [pipe.name, pipe.key, between(pipe.addresses), state(pipe), bytes(pipe.bytes)];
  return [wide('Pipes', ['Pipe', 'Key', 'Between', 'State', 'Carried'], largest.map(row))];
}

/**
 * The numbers of the relay and of TURN: a name, the unit, and more words.
 * @type {Record<string, [string, string?, string?]>}
 */
const MEDIA = {
  calls: ['Calls now', 'call', ', whether they need the relay or not'],
  asked: ['Asked for', 'offer', ' of calls since the start, ICE restarts included'],
  offered: ['Offered', 'call', ' got a way through the relay'],
  joined: ['Joined', 'call', ' with both clients at the relay'],
  carried: ['Carried', 'call'],
  refused: ['Refused', 'call', ' because of a limit'],
  displaced: ['Ended early', 'unused call', ' to make room'],
  ended: ['Ended calls'],
  transports: ['Relayed calls'],
  failures: ['Failed calls'],
  packets: ['Relayed', 'datagram'],
  bytes: ['Relayed bytes'],
  bindings: ['STUN', 'request', ' of clients for their address'],
  dropped: ['Dropped datagrams'],
  allocations: ['Allocations now', 'allocation'],
  allocated: ['Given', 'allocation', ' since the start'],
  pipes: ['Pipes now', 'pipe', ', those whose other end has not come included'],
  opened: ['Opened', 'pipe', ' since the start'],
  carried_bytes: ['Carried bytes'],
  closed: ['Ended pipes'],
  reclaimed: ['Ended early', 'unused allocation', ', as all were taken'],
};

const mediaFacts = ({ addresses, ...part }) => ({ 'Clients find it at': h('code', {}, addresses.join(' and ')), ...numbers(part) });

/** The numbers of a part of the server with their units; reasons only if there were any. */
function numbers(part) {
  const entries = Object.entries(part).map(([name, value]) => {
    const [label, unit, more = ''] = MEDIA[name] ?? [sentence(name.replaceAll('_', ' '))];
    if (typeof value === 'number') return [label, name.endsWith('bytes') ? bytes(value) : (unit ? plural(value, unit) : count(value)) + more];
    const there = Object.entries(value).filter(([, times]) => times > 0);
    return [label, there.length === 0 ? 'none' : there.map(([why, times]) => `${count(times)} ${mediaWords(why)}`).join(', ')];
  });
  return Object.fromEntries(entries);
}

function reasons(counts, words, none) {
  const there = Object.entries(counts).filter(([, times]) => times > 0).sort(([, a], [, b]) => b - a);
  if (there.length === 0) return h('p', { class: 'note' }, none);
  return h('ul', { class: 'reasons' }, there.map(([label, times]) => h('li', {}, h('span', { class: 'times' }, `${count(times)}×`), ' ', sentence(words(label)))));
}

function messages(byKind) {
  const kinds = Object.entries(byKind).filter(([, outcomes]) => Object.values(outcomes).some((times) => times > 0));
  if (kinds.length === 0) return h('p', { class: 'note' }, 'No message since the start.');
  const outcomes = Object.keys(kinds[0][1]).filter((outcome) => kinds.some(([, of]) => of[outcome] > 0));
  const rows = kinds.map(([kind, of]) => [sentence(kind.replaceAll('_', ' ')), ...outcomes.map((outcome) => count(of[outcome]))]);
  const table = wide('Messages by type and outcome', ['', ...outcomes.map(outcomeWords)], rows);
  return h('div', {}, table, h('p', { class: 'note' }, 'Messages since the start. One that waited for an absent peer counts once more when it is delivered or expires.'));
}
