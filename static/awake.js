/** Keeps the screen on. Browsers allow this on secure pages only; the demos also work without it. */
export function keepAwake() {
  navigator.wakeLock?.request('screen').catch(() => {});
}
