const status = document.querySelector('#status');

/** State is one of connecting, ready, connected, retrying and failed. */
export function setStatus(state, text) {
  status.dataset.state = state;
  // Set only new text: screen readers speak every change.
  if (status.textContent !== text) status.textContent = text;
}
