// An HTTP proxy in front of a server, correct or with common faults.

import http from 'node:http';
import net from 'node:net';
import { bridge, forward, listen } from './listen.mjs';
import { within } from './within.mjs';

/**
 * Lets `sockets` WebSockets through and refuses all others, or with `refuse: false` leaves them
 * without an answer until `admit()`. `talk: false` lets them open, but hangs up at the first message
 * of a client.
 */
export async function startReverseProxy(server, { sockets = Infinity, refuse = true, talk = true } = {}) {
  let target = server.port;
  let left = sockets;
  const held = new Map();
  let passed = '';
  const watchers = new Set();

  const proxy = http.createServer((request, response) => {
    const { method, url, headers } = request;
    const onward = http.request({ host: '127.0.0.1', port: target, method, path: url, headers });
    forward(request, response, onward, (answer) => answer.on('data', (bytes) => {
      passed += bytes;
      for (const watcher of watchers) watcher();
    }));
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
    bridge(client, upstream);
    if (!talk) client.on('data', () => client.destroy());
  }

  function hold(request, client) {
    held.set(client, request);
    client.on('close', () => held.delete(client));
    // Read, so that its end is noticed; a client sends nothing before it has an answer.
    client.resume();
  }

  return {
    ...await listen(proxy),

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
  };
}

/** @param {import('node:http').IncomingMessage} request */
export function headOf({ method, url, rawHeaders }) {
  let head = `${method} ${url} HTTP/1.1\r\n`;
  for (let i = 0; i < rawHeaders.length; i += 2) head += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
  return `${head}\r\n`;
}
