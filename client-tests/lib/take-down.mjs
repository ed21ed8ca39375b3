// The end of a test: what it put up goes, whatever happened to it.

import { within } from './within.mjs';

/** Stops each of `{pages, proxies, …, servers}`, one kind after the other. */
export async function takeDown(kinds) {
  const stopped = [];
  for (const [kind, all] of Object.entries(kinds)) {
    // Settled, not all: what one of them cannot stop must not keep the others running.
    stopped.push(...(await Promise.allSettled(all.map((one) => within(`one of the ${kind} to stop`, one.stop())))));
  }
  const failure = stopped.find(({ status }) => status === 'rejected');
  if (failure) throw failure.reason;
  // A panic that no client happened to notice is still one.
  const panic = kinds.servers.flatMap((server) => server.errors).find((line) => line.includes('panicked'));
  if (panic) throw new Error(`the server panicked: ${panic}`);
}
