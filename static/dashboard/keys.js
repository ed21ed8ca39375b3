// The keys: create, change, disable, remove.

import { api, keyPath } from './api.js';
import { ask, attempt, tell } from './dialog.js';
import { h } from './shared/dom.js';
import { authWords, keyForm } from './key-form.js';
import { act, cell, list, showList } from './list.js';
import { enableCopy } from './shared/copy.js';
import { editTokens } from './tokens.js';
import { count, plural } from './words.js';

/** Events with which the list changes, numbers of clients too. */
const NEWS = new Set(['connected', 'disconnected', 'key_added', 'key_changed', 'key_removed', 'keys_changed']);

export function keysView(main) {
  const keys = list({
    path: '/api/keys',
    label: 'Keys',
    columns: ['Key', 'Clients', 'Rate limit', 'State', 'Actions'],
    row,
    read: (answer) => answer.keys,
    empty: 'There is no key. Clients need one: create it with the button above.',
  });

  function row(key) {
    const { enabled, built_in: isBuiltIn } = key;
    const link = `#/keys/${encodeURIComponent(key.key)}`;
    const actions = [
      h('a', { class: 'button small', href: link, 'data-act': 'clients', 'aria-label': `Clients of ${key.key}` }, 'Clients'),
      h('a', { class: 'button small', href: `#/test/${encodeURIComponent(key.key)}`, 'data-act': 'test', 'aria-label': `Test ${key.key}` }, 'Test'),
      ...(isBuiltIn
        ? []
        : [
            act('change', 'Change', () => change(key), key.key),
            act('tokens', 'Tokens', () => tokens(key), key.key),
            act('enable', enabled ? 'Disable' : 'Enable', () => (enabled ? disable(key) : enable(key)), key.key),
            act('remove', 'Remove', () => remove(key), key.key),
          ]),
    ];
    return h(
      'tr',
      { 'data-name': key.key },
      h('th', { scope: 'row' }, h('a', { href: link, 'data-act': 'open' }, h('code', {}, h('bdi', {}, key.key))), h('span', { class: 'note' }, h('bdi', {}, describe(key)))),
      cell('Clients', h('span', {}, `${count(key.clients)} of ${count(key.concurrent_limit)}`), h('meter', { min: '0', max: String(key.concurrent_limit || 1), value: String(key.clients), 'aria-hidden': 'true' })),
      cell('Rate limit', key.messages_per_second ? `${count(key.messages_per_second)}/s` : 'none'),
      cell('State', h('span', { class: 'state', 'data-state': enabled ? 'on' : 'off' }, enabled ? 'active' : 'disabled')),
      h('td', { class: 'acts' }, actions),
    );
  }

  async function create() {
    const made = await edit(keyForm(), 'New key', 'Create', (settings) => api('POST', '/api/keys', settings));
    if (made) await showNew(made.key, made.secret, 'The key is active');
  }

  async function change(key) {
    const changed = await edit(keyForm(key), `Change ${key.key}`, 'Save', (settings) => api('PATCH', keyPath(key.key), settings));
    if (changed?.secret) await showNew(changed.key, changed.secret, 'The new secret is active');
  }

  /** Shows a form, and saves what it says. Resolves to the key with its new secret; to undefined if the form was closed. */
  async function edit(form, title, action, save) {
    const act = async () => {
      const { change, secret } = form.read();
      return { key: await save(change), secret };
    };
    const saved = await ask({ title, content: form.content, action, act });
    if (saved) keys.reload();
    return saved;
  }

  async function tokens(key) {
    await editTokens(key);
    keys.reload();
  }

  async function enable(key) {
    await attempt(api('PATCH', keyPath(key.key), { enabled: true }));
    keys.reload();
  }

  function disable(key) {
    const left = key.clients === 0 ? 'It has no clients now.' : `Its ${plural(key.clients, 'client')} will be disconnected.`;
    confirm(key, 'Disable', `Nobody can use the key until you enable it again. ${left}`, () => api('PATCH', keyPath(key.key), { enabled: false }));
  }

  function remove(key) {
    const words = `The key and its settings are deleted, and its ${plural(key.clients, 'client')} disconnected. Pages that use it stop working.`;
    confirm(key, 'Remove', words, () => api('DELETE', keyPath(key.key)));
  }

  async function confirm({ key }, action, words, act) {
    if (await ask({ title: `${action} ${key}?`, content: [h('p', {}, words)], action, isDangerous: true, act })) keys.reload();
  }

  const tools = [h('button', { class: 'button primary', type: 'button', onclick: create }, 'New key')];
  return showList(main, keys, { title: 'Keys', tools, isNews: ({ kind }) => NEWS.has(kind) });
}

function describe({ name, origins, auth, built_in: isBuiltIn, registered }) {
  const parts = [name, isBuiltIn && 'set in the configuration of the server', registered && 'registered through the form'];
  if (origins.length > 0) parts.push(`only for pages of ${origins.join(', ')}`);
  if (auth.method !== 'none') parts.push(authWords(auth));
  return parts.filter(Boolean).join(' · ');
}

/** Shows a key, and its secret for the only time. */
async function showNew(key, secret, title) {
  const shown = (label, text) => {
    const button = h('button', { class: 'button small', type: 'button', hidden: true, 'aria-label': `Copy the ${label.toLowerCase()}` }, 'Copy');
    enableCopy(button, () => text);
    return h('div', { class: 'shown' }, h('span', { class: 'label' }, label), h('code', { 'data-shown': label.toLowerCase() }, text), button);
  };
  await tell(title, [
    shown('Key', key.key),
    secret && shown('Secret', secret),
    secret && h('p', { class: 'warning' }, 'Nobody can see this secret again, not even here. Store it now on the server that signs tokens for your clients.'),
    h('p', { class: 'note' }, 'Pages use the key with ', h('code', {}, `new Peer({ key: ${JSON.stringify(key.key)}, … })`), '.'),
  ].filter(Boolean));
}
