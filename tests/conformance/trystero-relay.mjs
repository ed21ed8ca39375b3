// Takes the place of Trystero's own relay, `packages/ws-relay/src/server.ts`, in its test of Node.

import { setTimeout as pause } from 'node:timers/promises';
import { dashboardOf } from '../../client-tests/lib/dashboard.mjs';
import { startServer } from '../../client-tests/lib/server.mjs';

const TOKEN = 'the-token-of-the-operator';

/** A peerbroker, with those members of the relay that the test uses. */
export function createWsRelayServer() {
  let server;
  let subscriptions = 0;
  let isClosed = false;
  const watch = async (url) => {
    while (!isClosed) {
      const text = await (await fetch(`${url}metrics`, { headers: { Authorization: `Bearer ${TOKEN}` } })).text();
      subscriptions = Number(text.match(/^peerbroker_topic_subscriptions\S* (\d+)/m)?.[1] ?? 0);
      // The test looks as often.
      await pause(50);
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
