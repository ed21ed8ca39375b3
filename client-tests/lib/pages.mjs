// A local web server for the pages under test. A document that a browser driver makes up may not open
// WebSockets to loopback, and the camera needs a secure context, which http://127.0.0.1 is.

import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { join } from 'node:path';
import { build } from 'vite';
import { listen } from './listen.mjs';
import { releases } from './releases.mjs';

const root = join(import.meta.dirname, '..');

/** The scripts of a page under test: a PeerJS release with the harness, or a script without PeerJS. */
const scripts = {
  ...Object.fromEntries(Object.keys(releases).map((version) => [version, [`peerjs-${version}.js`, 'log.js', 'way.js', 'harness.js']])),
  rooms: ['simplepeer.min.js', 'log.js', 'rooms-page.js'],
  calls: ['log.js', 'calls-page.js'],
  replica: ['log.js', 'replica-page.js'],
  torrents: ['log.js', 'torrents-page.js'],
};
const bundled = ['replica-page.js'];
const ours = ['log.js', 'way.js', 'harness.js', 'rooms-page.js', 'calls-page.js', 'torrents-page.js'];

/** Serves `/<version>`, `/rooms`, `/calls`, `/replica` and `/torrents`: a blank page with its scripts. */
export async function startPages({ host = '127.0.0.1', port = 0 } = {}) {
  const server = http.createServer(async (request, response) => {
    const name = request.url.slice(1);
    const file = fileFor(name);
    if (bundled.includes(name)) {
      response.setHeader('Content-Type', 'text/javascript; charset=utf-8');
      response.end(await bundleOf(name));
    } else if (file) {
      response.setHeader('Content-Type', 'text/javascript; charset=utf-8');
      response.end(await readFile(file));
    } else if (scripts[name]) {
      response.setHeader('Content-Type', 'text/html; charset=utf-8');
      response.end(blankPage(name));
    } else {
      response.writeHead(404).end();
    }
  });
  const { url, stop } = await listen(server, { host, port });
  return { origin: url.slice(0, -1), url: (name) => url + name, stop };
}

/** Bundles that are made or being made. */
const bundles = {};

/** The script of a page with its libraries, such as `documents-page.js`. */
export const bundleOf = (name) => (bundles[name] ??= bundle(name));

/** A script with the libraries that it imports. Its pages hear each other over the network only: y-webrtc uses a BroadcastChannel, too. */
async function bundle(name) {
  const apart = 'window.BroadcastChannel = class { postMessage() {} close() {} };';
  const built = await build({
    configFile: false,
    logLevel: 'error',
    define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
    build: {
      write: false,
      minify: false,
      lib: { entry: join(root, 'lib', name), formats: ['iife'], name: 'page' },
      rollupOptions: { output: { banner: apart } },
    },
  });
  return /** @type {any} */ (built)[0].output[0].code;
}

function fileFor(name) {
  if (ours.includes(name)) return join(root, 'lib', name);
  if (name === 'simplepeer.min.js') return join(root, 'node_modules', 'simple-peer', name);
  if (name === 'webtorrent.min.js') return join(root, 'clients', 'webtorrent@3.0.21', name);
  const [, version] = name.match(/^peerjs-(.+)\.js$/) ?? [];
  return releases[version] && join(root, 'clients', version, releases[version].script);
}

const blankPage = (name) => `<!doctype html>
<meta charset="utf-8">
<title>${name}</title>
<link rel="icon" href="data:,">
${scripts[name].map((script) => `<script src="/${script}"></script>`).join('\n')}
`;
