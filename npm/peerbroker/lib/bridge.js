// For an app with a server of its own for WebSockets: that one has read the frames, so each goes on as a frame, on a second connection.
'use strict';

// Bytes that wait in one direction before their sender is not read any more.
const MOST_UNSENT = 64 << 10;
/** The bytes that a message costs beside its own. */
const OVERHEAD = 512;

/**
 * @param {any} socket is one of the library `ws`
 * @param {() => Promise<string>} findUrl finds the program's URL
 * @param {Record<string, string>} headers
 * @param {() => Promise<void>} heard waits until the app has heard of the client
 */
async function bridge(socket, findUrl, headers, heard) {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  socket.on('error', () => {});
  pass(socket, () => opened);
  const url = await findUrl();
  if (socket.readyState > 1) return;
  // The app brings its library, whose servers and clients are of one class.
  const upstream = new socket.constructor(url, [], { headers, perMessageDeflate: false });
  upstream.on('open', () => open(upstream));
  upstream.on('error', () => {});
  upstream.on('close', (code, reason) => closeAs(socket, code, reason));
  socket.on('close', (code, reason) => closeAs(upstream, code, reason));
  pass(upstream, () => heard().then(() => socket));
}

/** Passes frames on as soon as there is somewhere for the first one, and reads no more while many of them are unsent. */
function pass(from, findTo) {
  let unsent = 0;
  let to = null;
  const waiting = [];
  const send = (data, isBinary) => {
    to.send(data, { binary: isBinary }, () => {
      unsent -= data.length + OVERHEAD;
      if (unsent <= MOST_UNSENT) resume(from);
    });
  };
  from.on('message', (data, isBinary = typeof data !== 'string') => {
    unsent += data.length + OVERHEAD;
    if (unsent > MOST_UNSENT) pause(from);
    if (to) return send(data, isBinary);
    waiting.push([data, isBinary]);
    if (waiting.length > 1) return;
    findTo().then((found) => {
      to = found;
      for (const one of waiting.splice(0)) send(...one);
    });
  });
}

// Those of `ws` 7 can only be paused below.
function pause(socket) {
  if (socket.pause) socket.pause();
  else socket._socket?.pause();
}

function resume(socket) {
  if (socket.resume) socket.resume();
  else socket._socket?.resume();
}

/** Codes without a close frame cannot be sent. */
function closeAs(socket, code, reason) {
  if (code === 1006) return socket.terminate();
  // It reads the answer.
  resume(socket);
  return code === 1005 ? socket.close() : socket.close(code, reason);
}

module.exports = { bridge };
