// State that survives a reload. If storage is blocked, the page starts without it.

/** Reads and deletes a value, so that a duplicated tab does not get a copy. */
export function take(name) {
  const value = recall(name);
  try {
    sessionStorage.removeItem(`peerbroker-${name}`);
  } catch {}
  return value;
}

export function recall(name) {
  try {
    return JSON.parse(sessionStorage.getItem(`peerbroker-${name}`) ?? 'null') ?? undefined;
  } catch {
    return undefined;
  }
}

export function remember(name, value) {
  try {
    sessionStorage.setItem(`peerbroker-${name}`, JSON.stringify(value));
  } catch {}
}
