// Pages with webrtc.js for tests, from the server that has the endpoint of its pipes.

import { readFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { bridge, forward } from './listen.mjs';
import { bundleOf } from './pages.mjs';
import { startPipeServer } from './pipe-server.mjs';
import { releases } from './releases.mjs';
import { headOf } from './reverse-proxy.mjs';

const here = import.meta.dirname;
const SCRIPT = join(here, '../../client/dist/webrtc.js');

/** Makes this browser one that has no WebRTC. It runs in the page. */
export function withoutWebRtc() {
  for (const name of Object.getOwnPropertyNames(window)) if (/^(webkit)?RTC/.test(name)) delete window[name];
}

/** What the browser has before any script of the page. */
const BROWSERS = {
  native: '',
  none: `(${withoutWebRtc})();`,
  // No candidates: native WebRTC finds no path.
  blocked: `{
    const Native = RTCPeerConnection;
    window.RTCPeerConnection = class extends Native {
      constructor(configuration) { super({ ...configuration, iceServers: [], iceTransportPolicy: 'relay' }); }
    };
  }`,
};

const HARNESS = ['lib/log.js', 'lib/way.js', 'lib/harness.js'];
const CLIENT = `clients/1.5.5/${releases['1.5.5'].script}`;

const LIBRARIES = {
  ...Object.fromEntries(Object.keys(releases).map((version) => [version, [`clients/${version}/${releases[version].script}`, ...HARNESS]])),
  'simple-peer': ['node_modules/simple-peer/simplepeer.min.js', 'lib/log.js', 'lib/pipe-page.js'],
  bare: ['lib/log.js', 'lib/pipe-page.js'],
  // Of the broker.
  ...Object.fromEntries(['peerjs.js', 'peerjs.min.js', 'peerjs.all.js'].map((script) => [script, [script, ...HARNESS]])),
  'rooms.js': ['rooms.js', CLIENT, ...HARNESS],
  'rooms.js-last': [CLIENT, 'rooms.js', ...HARNESS],
  released: [CLIENT, ...HARNESS],
  // The page imports it.
  module: HARNESS,
  // Libraries that find each other by other protocols of the broker.
  ...Object.fromEntries(['documents', 'replica', 'trystero'].map((name) => [name, ['lib/log.js', `bundles/${name}-page.js`]])),
};

/** @typedef {{ browser?: 'native' | 'none' | 'blocked', library?: string, script?: boolean }} Kind */

/** @param {{ broker?: { port: number } }} options The `broker` is behind this server, which has pipes of its own without one. Its port may change. */
export async function startPipePages({ broker } = {}) {
  const server = await startPipeServer({
    isOwn: !broker,
    serve: (request, response) => serve(request, response, broker, server),
    upgrade: broker && ((request, client) => passOn(broker, request, client, server)),
  });
  const { hostname: host, port } = new URL(server.url);
  return Object.assign(server, {
    host,
    port: Number(port),
    /** @param {Kind} kind */
    page: ({ browser = 'native', library = 'bare', script = true }) => `${server.url}page/${browser}/${library}/${script}`,
  });
}

async function serve(request, response, broker, server) {
  const path = new URL(request.url, 'http://localhost').pathname.slice(1);
  if (path === 'hold') {
    server.held.push(response);
    return;
  }
  if (path.startsWith('page/')) {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(pageOf(path.split('/').slice(1)));
    return;
  }
  if (broker && !/^(bundles|clients|lib|node_modules)\//.test(path)) {
    askBroker(broker, request, response);
    return;
  }
  response.setHeader('Content-Type', 'text/javascript; charset=utf-8');
  try {
    const bundle = path.startsWith('bundles/') && await bundleOf(path.slice('bundles/'.length));
    response.end(bundle || await readFile(path === 'webrtc.js' ? SCRIPT : join(here, '..', path)));
  } catch {
    response.writeHead(404).end();
  }
}

function askBroker({ port }, request, response) {
  const { method, url: path, headers } = request;
  forward(request, response, http.request({ host: '127.0.0.1', port, method, path, headers }));
}

/** Lets WebSockets through to a broker. */
function passOn({ port }, request, client, server) {
  const upstream = net.connect(port, '127.0.0.1');
  upstream.write(headOf(request));
  bridge(client, upstream);
  if (request.url.includes('/pipe/')) server.watch(client, upstream);
}

/** @param {string[]} kind */
const pageOf = ([browser, library, script]) => `<!doctype html>
<meta charset="utf-8">
<title>${browser}, ${library}</title>
<link rel="icon" href="data:,">
<script>${BROWSERS[browser]}</script>
${script === 'true' ? '<script src="/webrtc.js"></script>' : ''}
${LIBRARIES[library].map((file) => `<script src="/${file}"></script>`).join('\n')}
`;

/** Exchanges descriptions; the first page offers. */
export async function exchange(one, other) {
  await one.ask('accept', await other.ask('accept', await one.ask('offer')));
}

/** Connects two pages with channels of these labels. */
export async function connect([one, other], labels = /** @type {any[]} */ (['x'])) {
  await one.ask('make', labels);
  await other.ask('make');
  await exchange(one, other);
  await one.must('open 0');
  await other.must('open 0');
}
