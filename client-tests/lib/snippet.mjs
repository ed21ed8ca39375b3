/** What the snippet of the built-in pages hands to `new Peer`. */
export function optionsIn(snippet) {
  const Peer = function (options) {
    return { ...options };
  };
  return new Function('Peer', `${snippet}\nreturn peer;`)(Peer);
}
