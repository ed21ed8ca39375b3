// Says so if a demo does not start. No module, because a module that did not load may be the reason.

(() => {
  const TIMEOUT = 20_000;
  const NOT_LOADED =
    'A part of this page did not load. The connection may have changed or failed meanwhile. Check that this device is on ' +
    'a network that reaches the server, then reload.';

  const element = (id) => document.getElementById(id);
  const timer = setTimeout(tell, TIMEOUT);

  // A module fails with its imports. Errors of elements do not bubble.
  window.addEventListener('error', failed, true);
  // `start-page.js` runs after everything that it and the demo import.
  window.addEventListener('demo-loaded', () => {
    clearTimeout(timer);
    window.removeEventListener('error', failed, true);
    element('broken').hidden = true;
    element('status').hidden = false;
  });

  function failed({ target }) {
    if (target instanceof HTMLScriptElement && target.type === 'module') tell();
  }

  function tell() {
    clearTimeout(timer);
    element('status').hidden = true;
    element('broken-text').textContent = NOT_LOADED;
    element('reload').onclick = () => location.reload();
    element('broken').hidden = false;
  }
})();
