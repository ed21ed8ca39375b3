/** The options in the snippet of the built-in pages. */
export function optionsIn(snippet) {
  const Peer = function (options) {
    return { ...options };
  };
  return new Function('Peer', `${snippet}\nreturn peer;`)(Peer);
}
