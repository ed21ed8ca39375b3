// A local web server for the pages under test. It must be a real one: a document that a browser
// driver makes up itself may not open WebSockets to loopback, and the camera wants a secure
// context, which http://127.0.0.1 is.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { join } from 'node:path';
import { releases } from './releases.mjs';

const root = join(import.meta.dirname, '..');

/** Serves `/<version>`: a blank page with that PeerJS release and the harness. */
export async function startPages() {
  const server = http.createServer(async (request, response) => {
    const file = fileFor(request.url);
    if (file) {
      response.setHeader('Content-Type', 'text/javascript; charset=utf-8');
      response.end(await readFile(file));
    } else if (releases[request.url.slice(1)]) {
      response.setHeader('Content-Type', 'text/html; charset=utf-8');
      response.end(blankPage(request.url.slice(1)));
    } else {
      response.writeHead(404).end();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    url: (version) => `http://127.0.0.1:${server.address().port}/${version}`,
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

function fileFor(url) {
  if (url === '/harness.js') return join(root, 'lib', 'harness.js');
  const [, version] = url.match(/^\/peerjs-(.+)\.js$/) ?? [];
  return releases[version] && join(root, 'clients', version, releases[version].script);
}

const blankPage = (version) => `<!doctype html>
<meta charset="utf-8">
<title>PeerJS ${version}</title>
<link rel="icon" href="data:,">
<script src="/peerjs-${version}.js"></script>
<script src="/harness.js"></script>
`;
