/** Starts a demo. On failure it shows the reason and a button to reload. */
export async function startPage(start) {
  // A link to another demo room or peer changes only the hash, but needs a fresh page.
  window.addEventListener('hashchange', () => location.reload());

  // A page restored from the browser's cache has lost its connections.
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
