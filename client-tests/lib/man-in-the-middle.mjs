// A broker that stands between two peers: it sends what they say to each other to a third one, `mallory`, and back.

import { once } from 'node:events';
import { WebSocket, WebSocketServer } from 'ws';

/** For each victim, the other one. */
const VICTIMS = { alice: 'bob', bob: 'alice' };
const MALLORY = 'mallory';

/** Passes WebSockets on to the broker at this port: pipes unchanged, because two pages share a pipe with the one in the middle. */
export async function startManInTheMiddle(brokerPort) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  server.on('connection', (client, { url }) => {
    const other = VICTIMS[new URL(url, 'ws://broker').searchParams.get('id')];
    const upstream = new WebSocket(`ws://127.0.0.1:${brokerPort}${url}`, { perMessageDeflate: false });
    const early = [];
    client.on('message', (data, binary) => {
      const message = other ? renamed(data, 'dst', other, MALLORY) : data;
      if (upstream.readyState === WebSocket.OPEN) upstream.send(message, { binary });
      else early.push([message, { binary }]);
    });
    upstream.on('open', () => early.forEach(([message, options]) => upstream.send(message, options)));
    upstream.on('message', (data, binary) => client.send(other ? renamed(data, 'src', MALLORY, other) : data, { binary }));
    for (const [one, its] of [[client, upstream], [upstream, client]]) {
      one.on('close', () => its.close());
      one.on('error', () => its.terminate());
    }
  });
  await once(server, 'listening');
  return {
    port: /** @type {import('node:net').AddressInfo} */ (server.address()).port,
    async stop() {
      server.clients.forEach((client) => client.terminate());
      server.close();
      await once(server, 'close');
    },
  };
}

function renamed(data, member, from, to) {
  const message = JSON.parse(data);
  if (message[member] === from) message[member] = to;
  return JSON.stringify(message);
}
