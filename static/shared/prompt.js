import { h } from './dom.js';

const prompt = document.querySelector('#prompt');

/**
 * Shows what is going on, advice and buttons. The first button is highlighted, unless its name is `cancel`.
 * @param {{ title: string, text?: string | (string | Node)[], buttons?: { name: string, label: string, action: () => void }[] }} content
 */
export function showPrompt({ title, text = '', buttons = [] }) {
  // If the pressed button disappears, the focus moves to the next one.
  const hadFocus = Boolean(document.activeElement?.closest('#prompt, #controls'));
  document.querySelector('#prompt-title').textContent = title;
  document.querySelector('#prompt-text').replaceChildren(...[text].flat());
  document.querySelector('#prompt-buttons').replaceChildren(...buttons.map(button));
  prompt.hidden = false;
  if (hadFocus) (prompt.querySelector('button') ?? prompt).focus();
}

/** A focus in the prompt moves to the first of `buttons` that is shown. */
export function hidePrompt(buttons = []) {
  const hadFocus = prompt.contains(document.activeElement);
  prompt.hidden = true;
  if (hadFocus) buttons.find((button) => button.checkVisibility())?.focus();
}

function button({ name, label, action }, place) {
  const look = place === 0 && name !== 'cancel' ? 'button primary' : 'button';
  return h('button', { class: look, type: 'button', 'data-name': name, onclick: action }, label);
}
