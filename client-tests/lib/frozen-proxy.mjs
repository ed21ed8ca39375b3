// A TCP proxy that can break connections in both ways of a network: with a reset, or silently. It can be far away, too.

import net from 'node:net';
import { listen } from './listen.mjs';

/** Each direction takes `delay` milliseconds. */
export async function startProxy(targetPort, { delay = 0 } = {}) {
  const pairs = new Set();
  let frozen = false;
  let leads = targetPort;
  const pass = (act) => (delay > 0 ? setTimeout(act, delay) : act());

  const listener = net.createServer((client) => {
    const target = net.connect(leads, '127.0.0.1');
    const pair = [client, target];
    pairs.add(pair);
    for (const [from, to] of [[client, target], [target, client]]) {
      from.on('data', (bytes) => pass(() => to.write(bytes)));
      from.on('end', () => pass(() => to.end()));
      from.on('error', () => to.destroy());
      // One side may close long before the other, especially in a silenced pair.
      from.on('close', () => pair.every((socket) => socket.closed) && pairs.delete(pair));
    }
    if (frozen) silence(pair);
  });
  const { stop, ...at } = await listen(listener);

  const cut = () => pairs.forEach((pair) => pair.forEach((socket) => socket.resetAndDestroy()));

  return {
    ...at,

    /** Resets every connection; new ones are forwarded as before. */
    cut,

    /** Simulates a lost network: stops copying in both directions, but closes nothing. */
    freeze() {
      frozen = true;
      pairs.forEach(silence);
    },

    /** Forwards new connections again; those that it has frozen stay dead. */
    thaw() {
      frozen = false;
    },

    /** Leads new connections to another port. */
    lead(port) {
      leads = port;
    },

    stop() {
      cut();
      return stop();
    },
  };
}

function silence(pair) {
  for (const socket of pair) socket.removeAllListeners('data').removeAllListeners('end').pause();
}
