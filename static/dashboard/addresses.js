// The busiest addresses of clients, and the bans.

import { api } from './api.js';
import { ask, attempt } from './dialog.js';
import { h } from './shared/dom.js';
import { setText } from './shared/set-text.js';
import { act, cell, list, showList } from './list.js';
import { count, date } from './words.js';

const INTERVAL = 3_000;

/** For how many seconds a ban is, and its words. */
const TIMES = [[3_600, 'An hour'], [86_400, 'A day'], [604_800, 'A week'], [0, 'Until you end it']];

export function addressesView(main) {
  const addresses = list({
    path: '/api/addresses',
    label: 'Addresses',
    search: 'Search an address',
    columns: ['Address', 'Connections', 'Opened', 'Limit hits', 'Actions'],
    row,
    read: (answer) => answer.addresses,
    empty: 'Nobody is connected from another machine.',
  });
  const bans = h('tbody');
  const note = h('p', { class: 'note', role: 'status' });
  const table = h('table', {}, h('thead', {}, h('tr', {}, ['Network', 'Key', 'Until', 'Actions'].map((column) => h('th', { scope: 'col' }, column)))), bans);

  function row({ address, connections, opened, limit_hits: hits, banned: isBanned }) {
    return h(
      'tr',
      { 'data-name': address },
      h('th', { scope: 'row' }, h('code', {}, address), isBanned && h('span', { class: 'note' }, 'banned')),
      cell('Connections', count(connections)),
      cell('Opened', count(opened)),
      cell('Limit hits', count(hits)),
      h('td', { class: 'acts' }, act('ban', 'Ban', () => ban(address), address)),
    );
  }

  async function readBans() {
    try {
      const answer = await api('GET', '/api/bans');
      bans.replaceChildren(...answer.bans.map(rowOfBan));
      table.hidden = answer.bans.length === 0;
      setText(note, answer.bans.length === 0 ? 'Nobody is banned.' : '');
    } catch (error) {
      setText(note, error.message);
    }
  }

  function rowOfBan(entry) {
    const end = entry.configured
      ? h('span', { class: 'note' }, 'set in the configuration of the server')
      : act('end', 'End', () => finish(entry), entry.network);
    return h(
      'tr',
      { 'data-name': `${entry.network} ${entry.key ?? ''}` },
      h('th', { scope: 'row' }, h('code', {}, entry.network)),
      cell('Key', entry.key === null ? 'all' : h('bdi', {}, entry.key)),
      cell('Until', entry.until === null ? 'no end' : date(entry.until)),
      h('td', { class: 'acts' }, end),
    );
  }

  async function ban(address) {
    const network = h('input', { id: 'ban-network', value: address, autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', required: true });
    const key = h('input', { id: 'ban-key', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false' });
    const time = h('select', { id: 'ban-time' }, TIMES.map(([seconds, words]) => h('option', { value: String(seconds) }, words)));
    const field = (setting, label, input) => h('div', { class: 'field', 'data-setting': setting }, h('label', { for: input.id }, label), input);
    const banned = await ask({
      title: 'New ban',
      content: [
        h('p', { class: 'note' }, 'Clients of the network are closed with the code 4008, and get 403. A school or a company is one address.'),
        field('network', 'Address or network', network),
        field('key', 'Only for this key', key),
        field('seconds', 'For', time),
      ],
      action: 'Ban',
      isDangerous: true,
      act() {
        const seconds = Number(time.value);
        return api('POST', '/api/bans', { network: network.value.trim(), key: key.value.trim() || null, seconds: seconds || null });
      },
    });
    if (banned) reload();
  }

  async function finish({ network, key }) {
    const query = key === null ? '' : `?${new URLSearchParams({ key })}`;
    await attempt(api('DELETE', `/api/bans/${encodeURIComponent(network)}${query}`));
    reload();
  }

  function reload() {
    addresses.reload();
    readBans();
  }

  const timer = setInterval(addresses.reload, INTERVAL);
  const tools = [h('button', { class: 'button primary', type: 'button', onclick: () => ban('') }, 'New ban')];
  const isNews = ({ kind }) => kind === 'banned' || kind === 'unbanned';
  const end = showList(main, { ...addresses, reload }, { title: 'Addresses', tools, isNews });
  main.append(h('h2', {}, 'Bans'), h('div', { class: 'list' }, table, note));
  return () => {
    clearInterval(timer);
    end();
  };
}
