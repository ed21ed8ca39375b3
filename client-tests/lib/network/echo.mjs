// Answers UDP and TCP on two ports with the port that it was asked from: `node echo.mjs ADDRESS PORT PORT`, by `startEcho`.

import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';

const [host, ...ports] = process.argv.slice(2);
for (const port of ports.map(Number)) {
  const socket = dgram.createSocket('udp4');
  socket.on('message', (_, asker) => socket.send(String(asker.port), asker.port, asker.address));
  // Answers come from the address that was asked.
  socket.bind(port, host);
  const listener = net.createServer((asker) => asker.on('error', () => {}).end(String(asker.remotePort)));
  listener.listen(port, host);
  await Promise.all([once(socket, 'listening'), once(listener, 'listening')]);
}
process.once('disconnect', () => process.exit());
process.send('ready');
