// The recipe for Vite in docs/USE.md: a dev server with the broker.

import assert from 'node:assert/strict';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build, createServer, preview } from 'vite';
import { everyClient } from '../lib/every-client.mjs';
import { installPackage } from '../lib/npm-package.mjs';

const [, recipe] = readFileSync(resolve(import.meta.dirname, '../../docs/USE.md'), 'utf8').match(/```ts\n(\/\/ vite.config.ts\n[^]*?)```/);

/** Vite's servers of an app with the recipe, on a free port. @type {Record<string, (config: any) => Promise<any>>} */
const SERVERS = {
  'a dev server': async (config) => (await createServer(config)).listen(),
  'a preview': async (config) => {
    await build(config);
    return preview(config);
  },
};

for (const [kind, start] of Object.entries(SERVERS)) {
  everyClient(`${kind} of Vite with the broker connects two pages`, { unless: (release) => release.streams }, async (stage) => {
    const root = installPackage();
    const configFile = join(root, 'vite.config.ts');
    writeFileSync(configFile, recipe);
    // As create-vite makes an app.
    writeFileSync(join(root, 'package.json'), '{"type":"module"}');
    symlinkSync(join(import.meta.dirname, '../node_modules/vite'), join(root, 'node_modules/vite'));
    writeFileSync(join(root, 'index.html'), '<title>mine</title>');
    const at = { host: '127.0.0.1', port: 0 };
    const vite = await start({ root, configFile, logLevel: 'error', server: at, preview: at });
    try {
      const { port } = /** @type {any} */ (vite.httpServer.address());
      const [host, page] = ['127.0.0.1', await fetch(`http://127.0.0.1:${port}/`)];
      assert.match(await page.text(), /<title>mine<\/title>/);
      const peers = [await stage.client(), await stage.client()];
      const ids = [];
      for (const peer of peers) ids.push(await peer.open({ host, port }, undefined, { path: '/peerjs' }));
      const line = await peers[0].connect(ids[1]);
      assert.equal(await line.echo('hello'), 'hello');
    } finally {
      await vite.close();
    }
  });
}
