// A dev server of Vite without the broker and without a proxy: it answers every request with its page, and no WebSocket.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createServer } from 'vite';
import { scratch } from './scratch.mjs';

export async function startBareVite() {
  const root = scratch();
  writeFileSync(join(root, 'index.html'), '<!doctype html><title>mine</title>');
  const vite = await createServer({ root, configFile: false, logLevel: 'error', server: { host: '127.0.0.1', port: 0 } });
  await vite.listen();
  const { port } = /** @type {any} */ (vite.httpServer.address());
  return { host: '127.0.0.1', port, stop: () => vite.close() };
}
