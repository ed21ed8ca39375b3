// Two pages of a demo connect, with the program that PEERBROKER_BIN starts: for scripts/test-systems.sh.

import { connectTwoPages } from './lib/demos.mjs';
import { visit } from './lib/visit.mjs';

visit('two pages connect', async (visit) => connectTwoPages(visit, await visit.server()));
