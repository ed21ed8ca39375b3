// The clients of a key: search, details, kick.

import { api, keyPath, peerPath } from './api.js';
import { lastCalls } from './calls.js';
import { ask, tell } from './dialog.js';
import { h } from './shared/dom.js';
import { act, cell, list, showList } from './list.js';
import { ago, count, date, refusedWords } from './words.js';

/** The protocols of clients of some kinds; another kind is its name. */
const PROTOCOLS = { peerjs: 'PeerJS', guest: 'a room, a call or a topic' };

const protocol = ({ kind }) => PROTOCOLS[kind] ?? kind;
const ofKey = (key, name, text) => h('a', { class: 'button', href: `#/keys/${encodeURIComponent(key)}/${name}` }, text);

export function peersView(main, key) {
  const peers = list({
    path: `${keyPath(key)}/peers`,
    label: `Clients of ${key}`,
    search: 'Search an id or an address',
    columns: ['Id', 'Address', 'Connected', 'Messages', 'Actions'],
    row,
    read: (answer) => answer.peers,
    empty: 'Nobody is connected with this key.',
  }, showRefusals);
  const refusals = h('section', { 'hidden': true, 'aria-labelledby': 'refusals-title' });

  function row(peer) {
    const seconds = Date.now() / 1000 - peer.since;
    return h(
      'tr',
      { 'data-name': peer.id },
      h('th', { scope: 'row' }, h('code', {}, h('bdi', {}, peer.id)), peer.kind !== 'peerjs' && h('span', { class: 'note' }, protocol(peer))),
      cell('Address', peer.address ?? 'unknown'),
      cell('Connected', h('time', { datetime: new Date(peer.since * 1000).toISOString(), title: date(peer.since) }, ago(seconds))),
      cell('Messages', count(peer.messages)),
      h('td', { class: 'acts' }, act('details', 'Details', () => details(peer), peer.id), act('kick', 'Kick', () => kick(peer), peer.id)),
    );
  }

  let asked = 0;
  /** Shows why clients with an id or address were refused lately, whatever their key was. */
  async function showRefusals(text) {
    asked += 1;
    const mine = asked;
    let found = [];
    try {
      if (text) found = (await api('GET', `/api/refusals?${new URLSearchParams({ search: text })}`)).refusals;
    } catch {
      // A token of a key may not ask.
    }
    if (mine !== asked) return;
    const item = ({ id, key: of, address, origin, reason, ago: seconds }) => h(
      'li',
      {},
      h('code', {}, h('bdi', {}, id)),
      `: ${refusedWords(reason)} (${[of && `key ${of}`, address && `from ${address}`, origin, ago(seconds)].filter(Boolean).join(', ')})`,
    );
    refusals.hidden = found.length === 0;
    refusals.replaceChildren(...(found.length ? [h('h2', { id: 'refusals-title' }, 'Refused lately'), h('ul', {}, found.map(item))] : []));
  }

  async function details({ id }) {
    let peer;
    try {
      peer = await api('GET', peerPath(key, id));
    } catch (error) {
      await tell(id, [h('p', {}, error.message)]);
      peers.reload();
      return;
    }
    const entries = {
      'Id': peer.id,
      'Key': key,
      'Protocol': protocol(peer),
      'Connection': peer.connection === 'stream' ? 'HTTP stream (PeerJS 0.3)' : 'WebSocket',
      'Client version': peer.client_version ?? 'not told',
      'Address': peer.address ?? 'unknown',
      'Connected since': date(peer.since),
      'Messages sent': count(peer.messages),
      ...(peer.node && { 'Node': peer.node }),
    };
    const rows = Object.entries(entries).flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, h('bdi', {}, value))]);
    const calls = await lastCalls(key, id).catch(() => []);
    const last = calls.length > 0 && [h('h2', {}, 'Last calls'), h('ul', { class: 'failed-calls' }, calls)];
    await tell('Client', [h('dl', { class: 'details' }, rows), ...(last || [])]);
  }

  async function kick({ id }) {
    const words = 'Its connection is closed with the code 4005. PeerJS does not reconnect by itself, but the page may: a kick is no ban, which Addresses has.';
    const act = () => api('DELETE', peerPath(key, id));
    if (await ask({ title: `Kick ${id}?`, content: [h('p', {}, words)], action: 'Kick', isDangerous: true, act })) peers.reload();
  }

  const tools = [ofKey(key, 'rooms', 'Rooms'), ofKey(key, 'topics', 'Topics'), ofKey(key, 'calls', 'Calls')];
  const isNews = ({ kind, key: of }) => of === key && (kind === 'connected' || kind === 'disconnected');
  const end = showList(main, peers, { back: ['#/keys', 'Keys'], title: ['Clients of ', h('bdi', {}, key)], tools, isNews });
  main.append(refusals);
  return end;
}
