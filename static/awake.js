/** Keeps the screen on. Browsers offer this on secure pages only; the demos work without it, too. */
export function keepAwake() {
  navigator.wakeLock?.request('screen').catch(() => {});
}
