/** The options in the snippet of the built-in pages. */
export function optionsIn(snippet) {
  const Peer = function (options) {
    return { ...options };
  };
  const code = snippet.replace(/^import .*$/m, '');
  return new Function('Peer', `${code}\nreturn peer;`)(Peer);
}
