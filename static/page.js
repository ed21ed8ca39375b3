/** Starts a demo; if that fails, says why and offers to load the page again. */
export async function startPage(start) {
  // Another link opened in this tab changes only the hash, but is another page.
  window.addEventListener('hashchange', () => location.reload());

  // A page that the browser kept in memory has lost its connections.
  window.addEventListener('pageshow', (event) => event.persisted && location.reload());

  try {
    await start();
  } catch (error) {
    document.querySelector('#status').hidden = true;
    document.querySelector('#broken-text').textContent = error.message;
    document.querySelector('#reload').addEventListener('click', () => location.reload());
    show('broken');
  }
}

/** Shows one part of a page. */
export function show(id) {
  document.getElementById(id).hidden = false;
}
