// Pages with webrtc.js for tests, from the server that has the endpoint of its pipes.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startPipeServer } from './pipe-server.mjs';
import { releases } from './releases.mjs';

const here = import.meta.dirname;
const SCRIPT = join(here, '../../npm/vendor/dist/webrtc.js');

/** What the browser has before any script of the page. */
const BROWSERS = {
  native: '',
  none: 'for (const name of Object.getOwnPropertyNames(window)) if (/^(webkit)?RTC/.test(name)) delete window[name];',
  // No candidates: native WebRTC finds no path.
  blocked: `{
    const Native = RTCPeerConnection;
    window.RTCPeerConnection = class extends Native {
      constructor(configuration) { super({ ...configuration, iceServers: [], iceTransportPolicy: 'relay' }); }
    };
  }`,
};

const LIBRARIES = {
  ...Object.fromEntries(Object.keys(releases).map((version) => [version, [`clients/${version}/${releases[version].script}`, 'lib/log.js', 'lib/way.js', 'lib/harness.js']])),
  'simple-peer': ['node_modules/simple-peer/simplepeer.min.js', 'lib/log.js', 'lib/pipe-page.js'],
  bare: ['lib/log.js', 'lib/pipe-page.js'],
};

/** @typedef {{ browser?: 'native' | 'none' | 'blocked', library?: string, script?: boolean }} Kind */

export async function startPipePages(options = {}) {
  const server = await startPipeServer({ ...options, serve });
  return Object.assign(server, {
    /** @param {Kind} kind */
    page: ({ browser = 'native', library = 'bare', script = true }) => `${server.url}page/${browser}/${library}/${script}`,
  });
}

async function serve(request, response) {
  const path = new URL(request.url, 'http://localhost').pathname.slice(1);
  if (path.startsWith('page/')) {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(pageOf(path.split('/').slice(1)));
    return;
  }
  response.setHeader('Content-Type', 'text/javascript; charset=utf-8');
  try {
    response.end(await readFile(path === 'webrtc.js' ? SCRIPT : join(here, '..', path)));
  } catch {
    response.writeHead(404).end();
  }
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
