// An endpoint of webhooks, which verifies every request with the published library.

import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import { listen } from './listen.mjs';

export const SECRET = `whsec_${Buffer.from('a secret of the client tests').toString('base64')}`;

/** Starts an endpoint. `delay` is how long it takes for an answer, in milliseconds. */
export async function startReceiver({ port = 0, delay = 0 } = {}) {
  const webhook = new Webhook(SECRET);
  const receiver = { events: [], forged: 0, delay };
  const server = createServer(async (request, response) => {
    try {
      const event = webhook.verify(await text(request), /** @type {any} */ (request.headers));
      await pause(receiver.delay);
      receiver.events.push(Object.assign({ id: request.headers['webhook-id'] }, event));
      response.writeHead(204).end();
    } catch {
      receiver.forged += 1;
      response.writeHead(400).end();
    }
  });
  const { url, stop, ...at } = await listen(server, { port });
  receiver.port = at.port;
  receiver.flags = ['--webhook', url, '--webhook_secret', SECRET];
  /** Ends as a killed process does: requests get no answer. */
  receiver.kill = stop;
  return receiver;
}
