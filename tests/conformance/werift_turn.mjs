// Two TURN clients of werift send 1,000 datagrams to each other's relayed address and back, over UDP, TCP and TLS.
//
// Usage: node werift_turn.mjs MODULE HOST PORT USERNAME PASSWORD

import { once } from 'node:events';
import { PassThrough } from 'node:stream';

const DATAGRAMS = 1000;

const [module, host, port, username, password] = process.argv.slice(2);
const { createTurnClient } = await import(module);

/** Also checks that the server sees the client's own address, because no NAT is between them. */
async function allocate(transport) {
  const config = { address: [host, Number(port)], username, password };
  const client = await createTurnClient(config, { transport, tlsOptions: { rejectUnauthorized: false } });
  const { address, stream } = client.transport;
  const own = [host, stream ? stream.client.localPort : address.port];
  if (String(client.mappedAddress) !== String(own)) throw new Error(`${own} is seen as ${client.mappedAddress}`);
  const received = new PassThrough({ objectMode: true });
  client.onData.subscribe((data, from) => received.write({ data, from }));
  return { client, at: client.relayedAddress, received };
}

/** Resolves when the datagram has come from there. */
async function send(data, from, to) {
  await from.client.sendData(data, to.at);
  if (to.received.readableLength === 0) await once(to.received, 'readable', { signal: AbortSignal.timeout(30_000) });
  const got = to.received.read();
  if (!data.equals(got.data) || String(got.from) !== String(from.at)) {
    throw new Error(`${got.data.length} bytes from ${got.from} instead of ${data.length} from ${from.at}`);
  }
}

for (const transport of ['udp', 'tcp', 'tls']) {
  const [a, b] = [await allocate(transport), await allocate(transport)];
  await Promise.all([a.client.getChannel(b.at), b.client.getChannel(a.at)]);
  for (let number = 0; number < DATAGRAMS; number += 1) {
    const data = Buffer.alloc(1 + number, `${number} `);
    await send(data, a, b);
    await send(data, b, a);
  }
  await Promise.all([a.client.close(), b.client.close()]);
}
process.exit();
