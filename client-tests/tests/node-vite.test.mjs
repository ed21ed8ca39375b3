// The recipe for Vite in docs/USE.md: a dev server with the broker.

import assert from 'node:assert/strict';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, createServer, preview } from 'vite';
import { everyClient } from '../lib/every-client.mjs';
import { listing } from '../lib/listings.mjs';
import { installPackage } from '../lib/npm-package.mjs';
import { until } from '../lib/within.mjs';

const recipe = listing('docs/USE.md', 'vite.config.ts');

/** Vite's servers of an app with the recipe, on a free port. @type {Record<string, (config: any) => Promise<any>>} */
const SERVERS = {
  'a dev server': async (config) => (await createServer(config)).listen(),
  'a preview': async (config) => {
    await build(config);
    return preview(config);
  },
};

const warnings = [];
process.on('warning', ({ message }) => warnings.push(message));
const heard = (shape) => until(`${shape} among ${warnings}`, () => warnings.some((text) => shape.test(text)));

for (const [kind, start] of Object.entries(SERVERS)) {
  everyClient(`${kind} of Vite with the broker connects two pages, and tells of a client without its path`, { unless: (release) => release.streams }, async (stage) => {
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

      warnings.splice(0);
      const lost = await stage.client();
      // Vite answers with its page, which PeerJS takes for an id; the WebSocket waits for ever.
      await lost.run(({ host, port }) => { window.lost = [new Peer({ host, port, path: '/app' }), new Peer('a', { host, port, path: '/other' })]; }, { host, port });
      await heard(/^a client asked for "\/app\/peerjs\/id", which is not here .*: peerbroker is at "\/peerjs\/"/);
      await heard(/^a client asked for "\/other\/peerjs", which is not here .*: peerbroker is at "\/peerjs\/"/);
    } finally {
      await vite.close();
    }
  });
}
