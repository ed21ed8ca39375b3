// The API for Node apps, as npm's `peer` has it.

import { testApi } from '../lib/node-api.mjs';
import { loadPackage } from '../lib/npm-package.mjs';

for (const express of ['express', 'express4']) testApi(`peerbroker with ${express}`, loadPackage({ express }));
