const prompt = document.querySelector('#prompt');

/**
 * Shows what goes on, what one can do about it, and the buttons for that: `{ title, text, buttons }`, each button
 * with a `name`, a `label` and an `action`; the first one is what most people want, unless it is to cancel.
 */
export function showPrompt({ title, text = '', buttons = [] }) {
  // Who presses a button that goes away is led to the next one.
  const hadFocus = prompt.contains(document.activeElement);
  document.querySelector('#prompt-title').textContent = title;
  document.querySelector('#prompt-text').textContent = text;
  document.querySelector('#prompt-buttons').replaceChildren(...buttons.map(button));
  prompt.hidden = false;
  if (hadFocus) (prompt.querySelector('button') ?? prompt).focus();
}

export function hidePrompt() {
  prompt.hidden = true;
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
