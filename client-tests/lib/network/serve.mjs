// Serves the pages of the tests on a machine of a network: `node serve.mjs ADDRESS PORT`, by `startPagesOn`.

import { startPages } from '../pages.mjs';

const [host, port] = process.argv.slice(2);
await startPages({ host, port: Number(port) });
process.once('disconnect', () => process.exit());
process.send('ready');
