/**
 * Makes tabs of the parts in `list`'s parent that have a `data-tab` and are not hidden. Without this script all of them are shown.
 * Returns a function that returns the shown part.
 */
export function enableTabs(list) {
  const panels = [...list.parentElement.querySelectorAll('[data-tab]:not([hidden])')];
  const tabs = panels.map((panel) => tabOf(panel));
  let shown = 0;

  function show(index) {
    shown = index;
    tabs.forEach((tab, i) => {
      tab.setAttribute('aria-selected', String(i === index));
      // One stop for Tab; the arrow keys lead to the others.
      tab.tabIndex = i === index ? 0 : -1;
      panels[i].hidden = i !== index;
    });
  }

  tabs.forEach((tab, i) => tab.addEventListener('click', () => show(i)));
  list.addEventListener('keydown', (event) => {
    const last = tabs.length - 1;
    const next = { ArrowRight: shown === last ? 0 : shown + 1, ArrowLeft: shown === 0 ? last : shown - 1, Home: 0, End: last }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    show(next);
    tabs[next].focus();
  });
  list.append(...tabs);
  list.hidden = false;
  if (tabs.length > 0) show(0);
  return () => panels[shown];
}

function tabOf(panel) {
  const tab = document.createElement('button');
  tab.type = 'button';
  tab.id = `tab-${panel.id}`;
  tab.textContent = panel.dataset.tab;
  tab.setAttribute('role', 'tab');
  tab.setAttribute('aria-controls', panel.id);
  panel.setAttribute('role', 'tabpanel');
  panel.setAttribute('aria-labelledby', tab.id);
  return tab;
}
