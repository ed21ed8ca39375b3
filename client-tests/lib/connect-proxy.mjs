// A proxy that browsers are told to use, with CONNECT (RFC 9110, section 9.3.6). It leads to one server only, under its own name or
// another one.

import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';

/** Its connections to the server come from another address than those of this machine's browsers. */
const ADDRESS = '127.0.0.2';

export async function startConnectProxy({ host, port }, name = `${host}:${port}`) {
  const open = new Set();
  const proxy = http.createServer((_, response) => response.writeHead(405).end());
  const started = {
    port: 0,
    /** The number of its connections to the server. */
    connections: 0,
    async stop() {
      for (const socket of open) socket.destroy();
      proxy.close();
      await once(proxy, 'close');
    },
  };

  proxy.on('connection', keep);
  proxy.on('connect', (request, client, head) => {
    // Firefox asks for addresses of its maker, too.
    if (request.url !== name) {
      client.end('HTTP/1.1 403 Forbidden\r\n\r\n');
      return;
    }
    started.connections += 1;
    const server = keep(net.connect({ host, port, localAddress: ADDRESS }));
    server.once('connect', () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      server.write(head);
      client.pipe(server).pipe(client);
    });
    client.on('close', () => server.destroy());
    server.on('close', () => client.destroy());
  });

  function keep(socket) {
    open.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => open.delete(socket));
    return socket;
  }

  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  started.port = proxy.address().port;
  return started;
}
