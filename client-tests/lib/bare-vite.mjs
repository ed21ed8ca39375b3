// A dev server of Vite without the broker and without a proxy: it answers every request with its page, and no WebSocket.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'vite';

export async function startBareVite() {
  const root = mkdtempSync(join(tmpdir(), 'peerbroker-vite-'));
  writeFileSync(join(root, 'index.html'), '<!doctype html><title>mine</title>');
  const vite = await createServer({ root, configFile: false, logLevel: 'error', server: { host: '127.0.0.1', port: 0 } });
  await vite.listen();
  const { port } = /** @type {any} */ (vite.httpServer.address());
  const stop = async () => {
    await vite.close();
    rmSync(root, { recursive: true, force: true });
  };
  return { host: '127.0.0.1', port, stop };
}
