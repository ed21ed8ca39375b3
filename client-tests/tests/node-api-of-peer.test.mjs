// The same tests against npm's `peer`, so that they are about its behaviour.

import { testApi } from '../lib/node-api.mjs';

// Its timers would keep this process alive. Tests wait for sockets.
const { setInterval, setTimeout } = globalThis;
Object.assign(globalThis, {
  setInterval: (/** @type {[any]} */ ...args) => setInterval(...args).unref(),
  setTimeout: (/** @type {[any]} */ ...args) => setTimeout(...args).unref(),
});

testApi('peer 1.0.2', await import('peer'));
