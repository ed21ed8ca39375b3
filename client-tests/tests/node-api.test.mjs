// The API for Node apps, as npm's `peer` has it.

import { testApi } from '../lib/node-api.mjs';
import { loadPackage } from '../lib/npm-package.mjs';

// The app that handles a taken port would go on. Tests wait for sockets.
const { setInterval } = globalThis;
Object.assign(globalThis, { setInterval: (/** @type {[any]} */ ...args) => setInterval(...args).unref() });

for (const express of ['express', 'express4']) testApi(`peerbroker with ${express}`, loadPackage({ express }));
