// The API for Node apps, as npm's `peer` has it.

import { testApi } from '../lib/node-api.mjs';
import { loadPackage } from '../lib/npm-package.mjs';

testApi('peerbroker', loadPackage());
