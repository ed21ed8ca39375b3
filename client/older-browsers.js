// Functions that the oldest browsers of PeerJS lack: bundle.mjs puts these functions in place of theirs, also in libraries.

export const hasOwn = (object, name) => Object.prototype.hasOwnProperty.call(object, name);

export function timeout(milliseconds) {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), milliseconds);
  return controller.signal;
}

/** A copy of arrays and plain objects; other values stay. */
export function structuredClone(value) {
  if (Array.isArray(value)) return value.map(structuredClone);
  if (Object.prototype.toString.call(value) !== '[object Object]') return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, structuredClone(member)]));
}
