/** Makes `button` switch full screen on and off. */
export function enableFullscreen(button) {
  button.hidden = !document.fullscreenEnabled;
  button.addEventListener('click', toggleFullscreen);
  document.addEventListener('fullscreenchange', () => {
    button.textContent = document.fullscreenElement ? 'Leave full screen' : 'Full screen';
  });
}

export function toggleFullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.();
}
