// Takes the place of Trystero's own relay in its tests of Node: `node --import` this file.

import { registerHooks } from 'node:module';
import { dashboardOf } from '../client-tests/lib/dashboard.mjs';
import { startServer } from '../client-tests/lib/server.mjs';

const TOKEN = 'the-token-of-the-operator';

registerHooks({
  resolve: (name, context, next) => (
    name === '@trystero-p2p/ws-relay/server' ? { url: import.meta.url, shortCircuit: true } : next(name, context)
  ),
});

/** As of `packages/ws-relay/src/server.ts`: what the tests use of it. */
export function createWsRelayServer() {
  let server;
  let subscriptions = 0;
  let isClosed = false;
  const watch = async (url) => {
    while (!isClosed) {
      const text = await (await fetch(`${url}metrics`, { headers: { Authorization: `Bearer ${TOKEN}` } })).text();
      subscriptions = Number(text.match(/^peerbroker_topic_subscriptions\S* (\d+)/m)?.[1] ?? 0);
    }
  };
  const start = async () => {
    server = await startServer(['--ops_port', '0', '--admin_token', TOKEN]);
    const { url } = await dashboardOf(server, TOKEN);
    // It ends with the server.
    watch(url).catch(() => {});
  };
  return {
    ready: start(),
    address: () => ({ port: server.port }),
    getSubscriberCount: () => subscriptions,
    close: () => {
      isClosed = true;
      return server.stop();
    },
  };
}
