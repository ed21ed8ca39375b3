const prompt = document.querySelector('#prompt');

/**
 * Shows the state of the call, advice and buttons: `{ title, text, buttons }`. Each button has a `name`, a `label`
 * and an `action`. The first one is highlighted, unless it is `cancel`.
 */
export function showPrompt({ title, text = '', buttons = [] }) {
  // If the pressed button disappears, the focus moves to the next one.
  const hadFocus = document.activeElement.closest('#prompt, #controls') !== null;
  document.querySelector('#prompt-title').textContent = title;
  document.querySelector('#prompt-text').textContent = text;
  document.querySelector('#prompt-buttons').replaceChildren(...buttons.map(button));
  prompt.hidden = false;
  if (hadFocus) (prompt.querySelector('button') ?? prompt).focus();
}

/** A focus in the prompt moves to the first of `buttons` that is shown. */
export function hidePrompt(buttons) {
  const hadFocus = prompt.contains(document.activeElement);
  prompt.hidden = true;
  if (hadFocus) buttons.find((button) => button.checkVisibility())?.focus();
}

function button({ name, label, action }, place) {
  const result = document.createElement('button');
  result.type = 'button';
  result.className = place === 0 && name !== 'cancel' ? 'button primary' : 'button';
  result.dataset.name = name;
  result.textContent = label;
  result.addEventListener('click', action);
  return result;
}
