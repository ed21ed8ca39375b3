// What a page keeps over a reload. Storage may be forbidden; then it starts afresh.

/** Reads and forgets: a tab that is duplicated meanwhile must not get a copy. */
export function take(name) {
  const value = recall(name);
  try {
    sessionStorage.removeItem(`peerbroker-${name}`);
  } catch {}
  return value;
}

export function recall(name) {
  try {
    return JSON.parse(sessionStorage.getItem(`peerbroker-${name}`)) ?? undefined;
  } catch {
    return undefined;
  }
}

export function remember(name, value) {
  try {
    sessionStorage.setItem(`peerbroker-${name}`, JSON.stringify(value));
  } catch {}
}
