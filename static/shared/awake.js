const ask = () => document.hidden || navigator.wakeLock?.request('screen').catch(() => {});

/** Keeps the screen on. Browsers allow this on secure pages only, and end it when the page is hidden; the demos also work without it. */
export function keepAwake() {
  ask();
  document.addEventListener('visibilitychange', ask);
}
