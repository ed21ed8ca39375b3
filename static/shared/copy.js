const SHOWN_FOR = 2_000;

/** Makes `button` copy the result of `text()` and confirm it for a moment. */
export function enableCopy(button, text) {
  const label = button.textContent;
  let timer;
  button.hidden = false;
  button.addEventListener('click', async () => {
    button.textContent = (await copy(text())) ? 'Copied' : 'Could not copy';
    clearTimeout(timer);
    timer = setTimeout(() => (button.textContent = label), SHOWN_FOR);
  });
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text);
  }
}

// The clipboard API is missing on plain HTTP, which most people use at first.
function copySelected(text) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const field = document.createElement('textarea');
  field.value = text;
  field.className = 'visually-hidden';
  document.body.append(field);
  field.select();
  const done = document.execCommand('copy');
  field.remove();
  focused?.focus();
  return done;
}
