// Servers of the tests themselves.

import { once } from 'node:events';
import http from 'node:http';

/**
 * Has a server listen on a port, by default a free one; `stop()` ends its connections as well, also WebSockets.
 * @param {import('node:net').Server} server
 */
export async function listen(server, { port = 0, host = '127.0.0.1' } = {}) {
  const open = new Set();
  server.on('connection', (socket) => {
    open.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => open.delete(socket));
  });
  server.listen(port, host);
  await once(server, 'listening');
  const at = /** @type {import('node:net').AddressInfo} */ (server.address());
  return {
    host,
    port: at.port,
    url: `http://${host}:${at.port}/`,
    async stop() {
      server.close();
      for (const socket of open) socket.destroy();
      await once(server, 'close');
    },
  };
}

/** A site whose pages are all this one. */
export const startSite = (html, headers = {}) =>
  listen(http.createServer((_, response) => response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', ...headers }).end(html)));

/** Passes on what each of two sockets gets, and ends both together. */
export function bridge(one, other) {
  for (const [from, to] of [[one, other], [other, one]]) {
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
    from.pipe(to);
  }
}

/** Answers a request as another server does. */
export function forward(request, response, onward, heard = /** @type {(answer: http.IncomingMessage) => void} */ (() => {})) {
  onward.on('response', (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
    heard(answer);
  });
  onward.on('error', () => response.destroy());
  response.on('close', () => response.writableFinished || onward.destroy());
  request.pipe(onward);
}
