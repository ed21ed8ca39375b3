// Functions that the oldest browsers of PeerJS lack: bundle.mjs puts these functions in place of theirs, also in libraries.

export const hasOwn = (object, name) => Object.prototype.hasOwnProperty.call(object, name);

export function timeout(milliseconds) {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), milliseconds);
  return controller.signal;
}
