// States a behaviour, and stops all that its test has started: `testOn(behaviour, () => new Stage(), async (stage) => …)`.

import { test } from 'node:test';
import { Keys } from './keys.mjs';
import { startPages } from './pages.mjs';
import { startServer } from './server.mjs';
import { LIMIT, within } from './within.mjs';

/** @param {any} makeStage @param {any} run */
export function testOn(behaviour, makeStage, run, { timeout = LIMIT, skip = /** @type {any} */ (false) } = {}) {
  test(behaviour, { timeout, skip }, async (t) => {
    const stage = await makeStage();
    stage.note = (text) => t.diagnostic(text);
    t.after(() => stage.clear());
    try {
      await run(stage);
    } catch (error) {
      for (const line of await stage.report()) stage.note(line);
      throw error;
    }
  });
}

export class Stage {
  /** Adds a line to the test's output. @type {(text: string) => void} */
  note = () => {};
  /** What was started, in the order in which it is stopped. */
  started = { pages: [], browsers: [], proxies: [], sites: [], clusters: [], servers: [], stores: [] };

  /** Stops something in the end. */
  async keep(kind, starting) {
    const started = await starting;
    this.started[kind].push(started);
    return started;
  }

  /** @returns {Promise<any>} */
  server(flags = undefined, options = undefined) {
    return this.keep('servers', startServer(flags, options));
  }

  /** A web site with its own origin, that has the pages of `pages.mjs`. */
  site() {
    return this.keep('sites', startPages());
  }

  /** API keys for a server that gets `keys.flags`. */
  keys = () => new Keys();

  get #everyServer() {
    return [...this.started.servers, ...this.started.clusters.flatMap(({ started }) => started)];
  }

  async report() {
    const stories = await Promise.all(this.started.pages.map((page) => page.story().catch(String)));
    return [
      ...stories.map((story, i) => `page ${i + 1} saw: ${story}`),
      ...this.#everyServer.map((server) => `the server said:\n${server.transcript()}`),
    ];
  }

  async clear() {
    const stopped = [];
    for (const [kind, all] of Object.entries({ ...this.started, servers: this.#everyServer })) {
      // allSettled: if one cannot be stopped, the others must still be.
      stopped.push(...(await Promise.allSettled(all.map((one) => within(`one of the ${kind} to stop`, one.stop())))));
    }
    const failure = stopped.find(({ status }) => status === 'rejected');
    if (failure) throw failure.reason;
    // A panic fails the test even if no client noticed it.
    const panic = this.#everyServer.flatMap((server) => server.errors).find((line) => line.includes('panicked'));
    if (panic) throw new Error(`the server panicked: ${panic}`);
  }
}
