// Stops everything that a test started.

import { within } from './within.mjs';

/** Stops each of `{pages, proxies, …, servers}`, one kind after the other. */
export async function takeDown(kinds) {
  const stopped = [];
  for (const [kind, all] of Object.entries(kinds)) {
    // allSettled: if one cannot be stopped, the others must still be.
    stopped.push(...(await Promise.allSettled(all.map((one) => within(`one of the ${kind} to stop`, one.stop())))));
  }
  const failure = stopped.find(({ status }) => status === 'rejected');
  if (failure) throw failure.reason;
  // A panic fails the test even if no client noticed it.
  const panic = kinds.servers.flatMap((server) => server.errors).find((line) => line.includes('panicked'));
  if (panic) throw new Error(`the server panicked: ${panic}`);
}
