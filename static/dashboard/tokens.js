// The tokens of a key, each for a part of the API.

import { api, keyPath } from './api.js';
import { enableCopy } from './shared/copy.js';
import { ask, tell } from './dialog.js';
import { h } from './shared/dom.js';

const SCOPES = { messages: 'Send messages to clients', 'peers:read': 'List connected clients and rooms', kick: 'Close clients' };

/** Lists the tokens of a key, removes some, and adds one. */
export async function editTokens({ key, tokens = [] }) {
  const path = `${keyPath(key)}/tokens`;
  const name = h('input', { id: 'token-name', autocomplete: 'off', maxlength: '100', required: true });
  const boxes = Object.entries(SCOPES).map(([scope, label]) => {
    const input = h('input', { type: 'checkbox', value: scope });
    return { input, element: h('label', { class: 'check' }, input, h('span', {}, label)) };
  });
  const added = await ask({
    title: `Tokens of ${key}`,
    content: [
      h('p', { class: 'note' }, 'A program with such a token may do a part of the API, for this key only.'),
      h('ul', {}, tokens.map(line)),
      h('div', { class: 'field' }, h('label', { for: name.id }, 'Name of a new token'), name),
      ...boxes.map(({ element }) => element),
    ],
    action: 'Add',
    close: 'Close',
    act() {
      const scopes = boxes.filter(({ input }) => input.checked).map(({ input }) => input.value);
      return api('POST', path, { name: name.value.trim(), scopes });
    },
  });
  if (!added) return;
  const copy = h('button', { class: 'button small', type: 'button', hidden: true, 'aria-label': 'Copy the token' }, 'Copy');
  enableCopy(copy, () => added.token);
  await tell('The token is active', [
    h('div', { class: 'shown' }, h('span', { class: 'label' }, 'Token'), h('code', { 'data-shown': 'token' }, added.token), copy),
    h('p', { class: 'warning' }, 'Nobody can see this token again, not even here. Store it now where the program reads it.'),
  ]);

  function line(token) {
    const words = token.scopes.map((scope) => SCOPES[scope] ?? scope).join(', ');
    const button = h('button', { class: 'button small', type: 'button', 'aria-label': `Remove ${token.name}`, onclick: remove }, 'Remove');
    const problem = h('span', { class: 'problem', role: 'alert' });
    const item = h('li', { 'data-token': token.name }, h('bdi', {}, token.name), `: ${words} `, button, problem);

    async function remove() {
      try {
        await api('DELETE', `${path}/${encodeURIComponent(token.name)}`);
        item.remove();
      } catch (error) {
        problem.textContent = error.message;
      }
    }
    return item;
  }
}
