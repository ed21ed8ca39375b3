// An HTTP proxy in front of a server, correct or with common faults.

import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { within } from './within.mjs';

/**
 * Lets `sockets` WebSockets through and refuses all others, or with `refuse: false` leaves them
 * without an answer until `admit()`. `talk: false` lets them open, but hangs up at the first message
 * of a client.
 */
export async function startReverseProxy(server, { sockets = Infinity, refuse = true, talk = true } = {}) {
  let target = server.port;
  let left = sockets;
  const open = new Set();
  const held = new Map();
  let passed = '';
  const watchers = new Set();

  const proxy = http.createServer((request, response) => {
    const { method, url, headers } = request;
    const onward = http.request({ host: '127.0.0.1', port: target, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
      answer.on('data', (bytes) => {
        passed += bytes;
        for (const watcher of watchers) watcher();
      });
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => {
      if (!response.writableFinished) onward.destroy();
    });
    request.pipe(onward);
  });

  proxy.on('upgrade', (request, client) => {
    if (left === 0) {
      if (!refuse) {
        hold(request, client);
        return;
      }
      client.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
      return;
    }
    left -= 1;
    connect(request, client);
  });

  function connect(request, client) {
    const upstream = net.connect(target, '127.0.0.1');
    upstream.write(headOf(request));
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      open.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
    }
    upstream.pipe(client);
    if (talk) client.pipe(upstream);
    else client.on('data', () => client.destroy());
  }

  function hold(request, client) {
    open.add(client);
    held.set(client, request);
    client.on('error', () => client.destroy());
    client.on('close', () => {
      open.delete(client);
      held.delete(client);
    });
    // Read, so that its end is noticed; a client sends nothing before it has an answer.
    client.resume();
  }

  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');

  return {
    host: '127.0.0.1',
    port: proxy.address().port,

    /** Switches to another server. */
    leadTo(other) {
      target = other.port;
    },

    /** Forwards the WebSockets that are waiting for an answer, and all later ones. */
    admit() {
      left = Infinity;
      for (const [client, request] of held) connect(request, client);
      held.clear();
    },

    /** Waits until a pattern (with the flag `g`) has matched this often in HTTP answers to clients. */
    passed(pattern, times) {
      return within(`${times} × ${pattern} to pass`, new Promise((done) => {
        const look = () => {
          if ((passed.match(pattern) ?? []).length < times) return;
          watchers.delete(look);
          done();
        };
        watchers.add(look);
        look();
      }));
    },

    async stop() {
      for (const socket of open) socket.destroy();
      proxy.close();
      proxy.closeAllConnections();
      await once(proxy, 'close');
    },
  };
}

/** @param {import('node:http').IncomingMessage} request */
export function headOf({ method, url, rawHeaders }) {
  let head = `${method} ${url} HTTP/1.1\r\n`;
  for (let i = 0; i < rawHeaders.length; i += 2) head += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
  return `${head}\r\n`;
}
