/** Sets a text only if it is new, because screen readers speak every change of a live region. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
