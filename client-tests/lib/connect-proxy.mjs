// A proxy that browsers are told to use, with CONNECT (RFC 9110, section 9.3.6). It leads to one server only, under its own name or
// another one.

import http from 'node:http';
import net from 'node:net';
import { bridge, listen } from './listen.mjs';

/** Its connections to the server come from another address than those of this machine's browsers. */
const ADDRESS = '127.0.0.2';

export async function startConnectProxy({ host, port }, name = `${host}:${port}`) {
  const proxy = http.createServer((_, response) => response.writeHead(405).end());
  const started = {
    /** The number of its connections to the server. */
    connections: 0,
  };

  proxy.on('connect', (request, client, head) => {
    // Firefox asks for addresses of its maker, too.
    if (request.url !== name) {
      client.end('HTTP/1.1 403 Forbidden\r\n\r\n');
      return;
    }
    started.connections += 1;
    const server = net.connect({ host, port, localAddress: ADDRESS });
    server.once('connect', () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      server.write(head);
      bridge(client, server);
    });
    server.on('error', () => client.destroy());
  });
  return Object.assign(started, await listen(proxy));
}
