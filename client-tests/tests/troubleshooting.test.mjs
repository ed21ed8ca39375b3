// docs/TROUBLESHOOTING.md quotes the browser's texts after mistakes. Here a page makes these mistakes.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { newPage } from '../lib/browser.mjs';
import express from 'express';
import { TOKEN, dashboardOf } from '../lib/dashboard.mjs';
import { Keys } from '../lib/keys.mjs';
import { listen } from '../lib/listen.mjs';
import { loadPackage } from '../lib/npm-package.mjs';
import { scratch } from '../lib/scratch.mjs';
import { startShippedProxy } from '../lib/shipped-proxy.mjs';
import { selfSigned, startServer } from '../lib/server.mjs';
import { LIMIT, within } from '../lib/within.mjs';

const root = resolve(import.meta.dirname, '../..');
const peerjs = readFileSync(join(root, 'client-tests/clients/1.5.5/peerjs.js'), 'utf8');
const document = readFileSync(join(root, 'docs/TROUBLESHOOTING.md'), 'utf8');

/** The quoted texts, with which the rows of the tables begin: one, or several with commas. */
const QUOTE = '(?:`` ?(?:.+?) ?``|`(?:[^`]+)`)';
const ROW = new RegExp(`^\\| (${QUOTE}(?:, ${QUOTE})*) \\|`);
const quotes = document.split('\n').flatMap((line) => {
  const [, texts = ''] = line.match(ROW) ?? [];
  return Array.from(texts.matchAll(/`` ?(.+?) ?``|`([^`]+)`/g), ([, double, single]) => double ?? single);
});

/** The texts that no test provokes, and why. */
const UNSEEN = {
  'net::ERR_CONNECTION_TIMED_OUT': 'loopback never drops packets',
  'net::ERR_ADDRESS_UNREACHABLE': 'and it reaches every address',
  'Access to fetch at \'…\' from origin \'…\' has been blocked by CORS policy: Permission was denied for this request to access the …':
    'the page would have to come from a public address; the text is in Chromium',
  'net::ERR_BLOCKED_BY_LOCAL_NETWORK_ACCESS_CHECKS': 'so would this one',
  'net::ERR_CERT_COMMON_NAME_INVALID': 'a certificate for another name needs a trusted authority first',
  'net::ERR_CERT_DATE_INVALID': 'so does one that has expired',
  'Negotiation of connection to … failed.': 'ICE takes half a minute to fail; the text is in PeerJS',
};

let sites;
const stops = [];
before(async () => {
  sites = { plain: await startBlankSite(http), secure: await startBlankSite(https) };
});
after(() => Promise.all(Object.values(sites).map((site) => site.stop())));

/** Makes a mistake in a page, and waits until the page says this. */
function mistake(name, says, run, { secure = false } = {}) {
  test(`${name}: ${says}`, { timeout: LIMIT }, async () => {
    assert.ok(quotes.includes(says), `docs/TROUBLESHOOTING.md has no row for: ${says}`);
    const shape = new RegExp(says.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*'));
    // A page of its own: other pages accept every certificate.
    const page = await newPage('chromium', { ignoreHTTPSErrors: secure });
    try {
      const said = [];
      let found;
      const seen = new Promise((done) => { found = done; });
      const hear = (text) => {
        said.push(text);
        if (shape.test(text)) found();
      };
      page.on('console', (message) => hear(message.text()));
      page.on('pageerror', (error) => hear(error.message));
      await page.exposeFunction('hear', hear);
      const { port } = sites[secure ? 'secure' : 'plain'];
      await page.goto(`${secure ? 'https' : 'http'}://${run.host ?? '127.0.0.1'}:${port}/`);
      await run(page);
      await within(() => `the page to say ${shape}; it said:\n${said.join('\n')}`, seen);
    } finally {
      await page.close();
      for (const stop of stops.splice(0)) await stop();
    }
  });
  provoked.add(says);
}
const provoked = new Set();

/** Calls `new Peer` like a page: it listens to errors of PeerJS, and does not catch exceptions. */
const open = (page, id, options) => page.evaluate(([id, options]) => {
  setTimeout(() => {
    window.peer = id === undefined ? new Peer(options) : new Peer(id, options);
    window.peer.on('error', (error) => window.hear(error.message));
  });
}, [id, options]);

async function server(flags, options) {
  const started = await startServer(flags, options);
  stops.push(() => started.stop());
  return started;
}

const at = ({ port }, options) => ({ host: '127.0.0.1', port, ...options });

/** `new Peer` at a server with these flags, with these options. */
const peerAt = (flags, options = {}, { id = undefined, tls = false } = {}) => async (page) => {
  await open(page, id, at(await server(flags, { tls }), options));
};

/** A broker behind nginx. */
async function throughNginx(options, flags = ['--proxied']) {
  const broker = await server(flags);
  const proxy = await startShippedProxy('nginx', broker, options);
  stops.unshift(() => proxy.stop());
  return { broker, proxy };
}

mistake('a wrong port', 'net::ERR_CONNECTION_REFUSED', async (page) => {
  const gone = await startServer();
  await gone.stop();
  await open(page, 'a', at(gone));
});
mistake('a wrong port without an id', 'Could not get an ID from the server.…', async (page) => {
  const gone = await startServer();
  await gone.stop();
  await open(page, undefined, at(gone, { debug: 1 }));
});
for (const [fault, options] of Object.entries({
  'a port in the host': { host: '127.0.0.1:9000' }, 'no host': { host: '' }, 'no path': { path: '' },
})) {
  mistake(fault, 'Failed to construct \'URL\': Invalid URL', peerAt([], { debug: 1, ...options }));
  mistake(`${fault}, with an id`, 'Failed to construct \'WebSocket\': The URL \'…\' is invalid.', peerAt([], options, { id: 'a' }));
}
mistake('a host that is not set', 'net::ERR_NAME_NOT_RESOLVED', peerAt([], { host: undefined }));
mistake('a scheme in the host', 'net::ERR_NAME_NOT_RESOLVED', peerAt([], { host: 'https://127.0.0.1' }));
mistake('a port that browsers refuse', 'net::ERR_UNSAFE_PORT', (page) => open(page, undefined, { host: '127.0.0.1', port: 6667 }));
mistake('a proxy whose broker is gone', 'Unexpected response code: 502', async (page) => {
  const { broker, proxy } = await throughNginx({});
  await broker.stop();
  await open(page, 'a', at(proxy, { secure: true }));
}, { secure: true });
mistake('no script of PeerJS', 'Peer is not defined', async (page) => {
  await page.evaluate(() => { delete window.Peer; });
  await open(page, undefined, {});
});

mistake('a page on the disk', 'net::ERR_FILE_NOT_FOUND', async (page) => {
  const folder = scratch();
  writeFileSync(join(folder, 'index.html'), '<!doctype html><title>a page</title><script src="/peerjs.js"></script>');
  await page.goto(pathToFileURL(join(folder, 'index.html')).href);
});

mistake('a server without PeerJS', 'the server responded with a status of 404 (Not Found)', peerAt(['--dialects', 'room_codes,calls']));
mistake('a wrong path', 'Wrong path: this broker is at …', peerAt(['--path', '/myapp']));
mistake('a wrong path with an id', 'Wrong path: this broker is at …', peerAt(['--path', '/myapp'], {}, { id: 'a' }));
mistake('a wrong key', 'Invalid key provided', peerAt([], { key: 'nope' }));
mistake('a wrong key with an id', 'Invalid key provided', peerAt([], { key: 'nope' }, { id: 'a' }));
mistake('a page that the key is not for', 'This origin may not use the key', withKey('--origin', 'https://example.org'));
mistake('a page that the key is not for, without an id', 'This origin may not use the key', withKey('--origin', 'https://example.org', { id: undefined }));
mistake('a banned address', 'Unexpected response code: 403', peerAt(['--ban', '127.0.0.1'], {}, { id: 'a' }));
mistake('an address that is banned for a key', 'This address is banned', async (page) => {
  const broker = await server(['--ops_port', '0', '--admin_token', TOKEN]);
  const { api } = await dashboardOf(broker);
  assert.equal((await api('POST', '/api/bans', { network: '127.0.0.1', key: 'peerjs' })).status, 201);
  await open(page, undefined, at(broker));
});
mistake('a token that proves nothing', 'Invalid token provided', withKey('--jwt_key_file', join(root, 'tests/fixtures/jwt/ed.pem')));
mistake('an identity that nobody can verify', 'Server is not available at the moment', withKey('--auth_url', 'http://127.0.0.1:9/'));
mistake('an id with other characters', 'ID "…" is invalid', peerAt([], {}, { id: 'ä b!' }));
mistake('an id of another tab', 'ID "…" is taken', async (page) => {
  const broker = await server();
  await openAndWait(page, 'a', at(broker));
  await open(page, 'a', at(broker));
});
mistake('a full broker', 'Server has reached its concurrent user limit', peerAt(['--concurrent_limit', '0'], {}, { id: 'a' }));
mistake('an id that nobody has', 'Could not connect to peer …', async (page) => {
  await openAndWait(page, 'a', at(await server(['--expire_timeout', '100'])));
  await page.evaluate(() => { window.peer.connect('nobody'); });
});
mistake('a list without discovery', 'the server responded with a status of 401 (Unauthorized)', async (page) => {
  await openAndWait(page, 'a', at(await server()));
  await page.evaluate(() => { window.peer.listAllPeers(); });
});

mistake('another key than that of an Express mount', 'the server responded with a status of 401 (Unauthorized)', async (page) => {
  await open(page, undefined, at(await expressApp(), { path: '/peerjs', key: 'other' }));
});

mistake('http to a port with TLS', 'the server responded with a status of 400 (Bad Request)', peerAt([], { secure: false }, { tls: true }));
mistake('ws to a port with TLS', 'Unexpected response code: 400', peerAt([], { secure: false }, { tls: true, id: 'a' }));
mistake('http to an app of Node with TLS', 'net::ERR_EMPTY_RESPONSE', (page) => open(page, undefined, { host: '127.0.0.1', port: sites.secure.port }));
mistake('http from an https page', 'Mixed Content: The page at \'…\' was loaded over HTTPS, but requested an insecure resource \'…\'.', peerAt([], { host: 'lan.test', secure: false }), { secure: true });
mistake('ws from an https page', 'Failed to construct \'WebSocket\': An insecure WebSocket connection may not be initiated from a page loaded over HTTPS.', peerAt([], { host: 'lan.test', secure: false }, { id: 'a' }), { secure: true });
mistake('https to a plain port', 'net::ERR_SSL_PROTOCOL_ERROR', peerAt([], { secure: true }));
mistake('wss to a plain port', 'net::ERR_SSL_PROTOCOL_ERROR', peerAt([], { secure: true }, { id: 'a' }));
mistake('a self-signed certificate', 'net::ERR_CERT_AUTHORITY_INVALID', peerAt([], { secure: true }, { tls: true }));
mistake('a self-signed certificate with an id', 'net::ERR_CERT_AUTHORITY_INVALID', peerAt([], { secure: true }, { tls: true, id: 'a' }));
mistake('a camera over http', 'Cannot read properties of undefined (reading \'getUserMedia\')', Object.assign(
  (page) => page.evaluate(() => { setTimeout(() => navigator.mediaDevices.getUserMedia({ video: true })); }),
  { host: 'lan.test' },
));

mistake('a wake lock over http', '(reading \'request\')', Object.assign(
  (page) => page.evaluate(() => { setTimeout(() => navigator.wakeLock.request('screen')); }),
  { host: 'lan.test' },
));
mistake('the clipboard over http', '(reading \'writeText\')', Object.assign(
  (page) => page.evaluate(() => { setTimeout(() => navigator.clipboard.writeText('x')); }),
  { host: 'lan.test' },
));
mistake('a link to share over http', 'navigator.share is not a function', Object.assign(
  (page) => page.evaluate(() => { setTimeout(() => navigator.share({ url: 'x' })); }),
  { host: 'lan.test' },
));
mistake('a random UUID over http', 'crypto.randomUUID is not a function', Object.assign(
  (page) => page.evaluate(() => { setTimeout(() => crypto.randomUUID()); }),
  { host: 'lan.test' },
));

mistake('a path at which Express has no broker', 'Access to fetch at \'…\' from origin \'…\' has been blocked by CORS policy: No \'Access-Control-Allow-Origin\' header is present on the requested resource.', async (page) => {
  await open(page, undefined, at(await expressApp(), { path: '/elsewhere' }));
});
mistake('an origin that --cors does not list', 'Access to fetch at \'…\' from origin \'…\' has been blocked by CORS policy: No \'Access-Control-Allow-Origin\' header is present on the requested resource.', peerAt(['--cors', 'https://example.org']));
mistake('a proxy without upgrades', 'Unexpected response code: 404', async (page) => {
  const edit = (config) => config.split('\n').filter((line) => !line.includes('proxy_set_header Upgrade')).join('\n');
  const { proxy } = await throughNginx({ edit });
  await open(page, 'a', at(proxy, { secure: true }));
}, { secure: true });
mistake('a server that answers WebSockets with its page', 'Unexpected response code: 200', (page) => open(page, 'a', { host: '127.0.0.1', port: sites.plain.port }));
mistake('too many from one address', 'Unexpected response code: 429', async (page) => {
  const { proxy } = await throughNginx(
    { edit: (config) => config.replace('X-Forwarded-For   $remote_addr', 'X-Forwarded-For 203.0.113.1') },
    ['--proxied', '--connections_per_address', '1'],
  );
  await openAndWait(page, 'a', at(proxy, { secure: true }));
  await open(page, 'b', at(proxy, { secure: true }));
}, { secure: true });

mistake('a broker that ended', 'Lost connection to server.', async (page) => {
  const broker = await server();
  await openAndWait(page, 'a', at(broker));
  broker.signal('SIGKILL');
});
mistake('a connection while disconnected', 'Cannot connect to new Peer after disconnecting from server.', async (page) => {
  await openAndWait(page, 'a', at(await server()));
  await page.evaluate(() => {
    window.peer.disconnect();
    window.peer.connect('b');
  });
});
mistake('a message before the connection is open', 'Connection is not open. You should listen for the `open` event before sending messages.', async (page) => {
  await openAndWait(page, 'a', at(await server()));
  await page.evaluate(() => {
    const connection = window.peer.connect('b');
    connection.on('error', (error) => window.hear(error.message));
    connection.send('early');
  });
});

mistake('a message of a peer', 'peer.send is not a function', async (page) => {
  await openAndWait(page, 'a', at(await server()));
  await page.evaluate(() => { setTimeout(() => { const { peer } = window; peer.send('x'); }); });
});
mistake('a listener at the connection of a peer that is destroyed', 'Cannot read properties of undefined (reading \'on\')', async (page) => {
  await openAndWait(page, 'a', at(await server()));
  await page.evaluate(() => {
    window.peer.destroy();
    setTimeout(() => window.peer.connect('b').on('open', () => {}));
  });
});
mistake('PeerJS of npm without options', 'WebSocket connection to \'wss://0.peerjs.com/…\' failed', (page) => open(page, 'anna'));
mistake('a handler of the page that uses a name of a module', 'room is not defined', async (page) => {
  await page.setContent('<button onclick="room.send(1)">Send</button><script type="module">const room = { send() {} };</script>');
  await page.locator('button').click();
});
mistake('an element that is not there yet', 'Cannot read properties of null (reading \'append\')', (page) => page.evaluate('void setTimeout(() => document.querySelector("#start").append("a code"))'));
mistake('a policy of the page that forbids a script of the broker', 'webrtc.js did not load, so no data goes over the broker', async (page) => {
  const { port } = await server();
  const src = `http://127.0.0.1:${port}/peerjs.js`;
  await page.evaluate((allowed) => {
    Reflect.deleteProperty(window, 'RTCPeerConnection');
    const { document } = window;
    const policy = Object.assign(document.createElement('meta'), { httpEquiv: 'Content-Security-Policy', content: `script-src ${allowed}` });
    const script = Object.assign(document.createElement('script'), { src: allowed });
    document.head.append(policy, script);
  }, src);
});
mistake('a type that is imported as a value', 'does not provide an export named \'DataConnection\'', async (page) => {
  const { port } = await server();
  await page.addScriptTag({ type: 'module', content: `import { Peer, DataConnection } from 'http://127.0.0.1:${port}/peerjs.mjs';` });
});
mistake('the classic script of PeerJS as a module', 'does not provide an export named \'Peer\'', async (page) => {
  const { port } = await server();
  await page.addScriptTag({ type: 'module', content: `import { Peer } from 'http://127.0.0.1:${port}/peerjs.js';` });
});
mistake('members of a room that are taken for a list', 'room.members.map is not a function', async (page) => {
  const broker = await server();
  await openAndWait(page, 'a', at(broker));
  await page.addScriptTag({ url: `http://127.0.0.1:${broker.port}/rooms.js` });
  await page.evaluate(() => {
    const { joinRoom, peer } = window;
    joinRoom(peer, 'lobby').then((room) => setTimeout(() => room.members.map(String)));
  });
});
mistake('no script that shares', 'qrCode is not defined', (page) => page.evaluate('void setTimeout(() => qrCode())'));
mistake('the safety number of PeerJS of npm', 'connection.safetyNumber is not a function', async (page) => {
  await openAndWait(page, 'a', at(await server()));
  await page.evaluate(() => {
    const connection = window.peer.connect('b');
    setTimeout(() => connection.safetyNumber());
  });
});
mistake('the classic script of rooms as a module', 'does not provide an export named \'joinRoom\'', async (page) => {
  const { port } = await server();
  await page.addScriptTag({ type: 'module', content: `import { joinRoom } from 'http://127.0.0.1:${port}/rooms.js';` });
});

test('every text that the page quotes is provoked, or is known not to be', () => {
  assert.deepEqual([...provoked, ...Object.keys(UNSEEN)].sort(), [...quotes].sort());
});

test('what PeerJS says when ICE fails is in PeerJS', () => {
  assert.match(peerjs, /Negotiation of connection to .{0,60} failed\./);
});

function withKey(...flags) {
  const { id } = typeof flags.at(-1) === 'object' ? flags.pop() : { id: 'a' };
  return async (page) => {
    const keys = new Keys();
    await keys.add('mykey', ...flags);
    await open(page, id, at(await server(keys.flags), { key: 'mykey' }));
  };
}

/** An app of Express with the broker at /peerjs. */
async function expressApp() {
  const app = express();
  const listening = http.createServer(app);
  const { port, stop } = await listen(listening);
  stops.push(stop);
  app.use('/peerjs', loadPackage().ExpressPeerServer(listening));
  return { port };
}

async function openAndWait(page, id, options) {
  await page.evaluate(([id, options]) => new Promise((opened) => {
    window.peer = new Peer(id, options);
    window.peer.on('error', (error) => window.hear(error.message));
    window.peer.on('open', opened);
  }), [id, options]);
}

/** A blank page with PeerJS, as another origin than the broker. */
function startBlankSite({ createServer }) {
  const { key, cert } = selfSigned();
  return listen(createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
    const isScript = request.url === '/peerjs.js';
    response.setHeader('Content-Type', `text/${isScript ? 'javascript' : 'html'}; charset=utf-8`);
    response.end(isScript ? peerjs : '<!doctype html><title>a page</title><link rel="icon" href="data:,"><script src="/peerjs.js"></script>');
  }));
}
