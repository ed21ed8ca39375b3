// The keys: create, change, disable, remove.

import { api, keyPath } from './api.js';
import { ask, tell } from './dialog.js';
import { h } from './dom.js';
import { authWords, keyForm } from './key-form.js';
import { act, cell, list } from './list.js';
import { live } from './live.js';
import { enableCopy } from './shared/copy.js';
import { editTokens } from './tokens.js';
import { count, plural } from './words.js';

const COLUMNS = ['Key', 'Clients', 'Rate limit', 'State', 'Actions'];

export function keysView(main) {
  const keys = list({
    path: '/api/keys',
    label: 'Keys',
    columns: COLUMNS,
    row,
    read: (answer) => answer.keys,
    empty: 'There is no key. Clients need one: create it with the button above.',
  });

  main.append(
    h('h1', { tabindex: '-1' }, 'Keys'),
    h('div', { class: 'tools' }, keys.field, h('button', { class: 'button primary', type: 'button', onclick: create }, 'New key')),
    keys.element,
  );

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
            act('enable', enabled ? 'Disable' : 'Enable', () => (enabled ? disable(key) : set(key, { enabled: true })), key.key),
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
    const form = keyForm();
    const made = await ask({
      title: 'New key',
      content: form.content,
      action: 'Create',
      async act() {
        const { change, secret } = form.read();
        return { key: await api('POST', '/api/keys', change), secret };
      },
    });
    if (!made) return;
    keys.reload();
    await showNew(made.key, made.secret, 'The key is active');
  }

  async function change(key) {
    const form = keyForm(key);
    const changed = await ask({
      title: `Change ${key.key}`,
      content: form.content,
      action: 'Save',
      async act() {
        const { change, secret } = form.read();
        return { key: await api('PATCH', keyPath(key.key), change), secret };
      },
    });
    if (!changed) return;
    keys.reload();
    if (changed.secret) await showNew(changed.key, changed.secret, 'The new secret is active');
  }

  async function tokens(key) {
    await editTokens(key);
    keys.reload();
  }

  async function disable(key) {
    const left = key.clients === 0 ? 'It has no clients now.' : `Its ${plural(key.clients, 'client')} will be disconnected.`;
    const question = h('p', {}, `Nobody can use the key until you enable it again. ${left}`);
    const act = () => api('PATCH', keyPath(key.key), { enabled: false });
    if (await ask({ title: `Disable ${key.key}?`, content: [question], action: 'Disable', isDangerous: true, act: done(act) })) keys.reload();
  }

  async function set(key, change) {
    try {
      await api('PATCH', keyPath(key.key), change);
    } catch (error) {
      await tell('That did not work', [h('p', {}, error.message)]);
    }
    keys.reload();
  }

  async function remove(key) {
    const question = h('p', {}, `The key and its settings are deleted, and its ${plural(key.clients, 'client')} disconnected. Pages that use it stop working.`);
    const act = () => api('DELETE', keyPath(key.key));
    if (await ask({ title: `Remove ${key.key}?`, content: [question], action: 'Remove', isDangerous: true, act: done(act) })) keys.reload();
  }

  const ending = new AbortController();
  const { signal } = ending;
  // Numbers of clients change with these.
  const news = new Set(['connected', 'disconnected', 'key_added', 'key_changed', 'key_removed', 'keys_changed']);
  live.addEventListener('tick', ({ detail }) => detail.events.some(({ kind }) => news.has(kind)) && keys.reload(), { signal });
  keys.reload();
  return () => ending.abort();
}

const done = (work) => async () => {
  await work();
  return true;
};

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
