// Mistakes in a proxy's file, with the real nginx: what people see then, and where. tests/MISTAKES.md lists them.

import assert from 'node:assert/strict';
import https from 'node:https';
import { once } from 'node:events';
import { startShippedProxy } from '../lib/shipped-proxy.mjs';
import { desktop, UNREACHABLE, urlOf, visit } from '../lib/visit.mjs';
import { within } from '../lib/within.mjs';

/** A mistake: leaves out the lines with these words. */
const without = (...words) => (config) => {
  for (const word of words) assert.ok(config.includes(word), `nothing to leave out: ${word}`);
  return config.split('\n').filter((line) => !words.some((word) => line.includes(word))).join('\n');
};

/** A mistake: another text. */
const instead = (...changes) => (config) => changes.reduce((text, [right, wrong]) => {
  assert.ok(text.includes(right), `nothing to replace: ${right}`);
  return text.replace(right, wrong);
}, config);

/** Runs a test with a server behind nginx, whose file has a mistake. */
function behindNginx(behaviour, { edit = undefined, flags = ['--proxied'], target = (server) => server }, body) {
  visit(behaviour, async (visit) => {
    const server = await visit.server(flags);
    const proxy = await visit.keep('proxies', startShippedProxy('nginx', await target(server), { edit }));
    await body({ visit, server, proxy: { ...proxy, secure: true } });
  });
}

behindNginx('a proxy that does not forward upgrades is named by the test of the landing page', {
  edit: without('proxy_set_header Upgrade', 'proxy_set_header Connection'),
}, async ({ visit, proxy }) => {
  visit.tolerate(UNREACHABLE);
  const page = await visit.open(desktop, urlOf(proxy, '/'));
  await page.locator('#test-broker').click();
  await page.locator('#test-summary[data-state="failed"]').waitFor();

  const detail = await page.locator('#test-steps [data-step="peer-a"] .detail').innerText();
  assert.match(detail, /A proxy in front of it must forward WebSocket upgrades/);
});

behindNginx('the address of the WebSocket says that an upgrade is missing', {
  edit: without('proxy_set_header Upgrade', 'proxy_set_header Connection'),
}, async ({ proxy }) => {
  const { status, body } = await get(proxy, '/peerjs?key=peerjs&id=a&token=t', {
    Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  });

  assert.equal(status, 404);
  assert.match(body, /It only answers a GET that asks for an upgrade/);
});

behindNginx('a proxy that strips the prefix is told to pass the path unchanged', {
  flags: ['--proxied', '--path', '/broker'],
  edit: instead(['location / {', 'location /broker/ {'], ['proxy_pass http://peerbroker;', 'proxy_pass http://peerbroker/;']),
}, async ({ visit, proxy }) => {
  visit.tolerate(/status of 404/);
  // Behind such a proxy the page has no style either.
  visit.tolerate(/Refused to apply style/);
  const page = await visit.open(desktop, urlOf(proxy, '/broker/'));

  const text = await page.locator('body').innerText();
  assert.match(text, /GET \/ was not found/);
  assert.match(text, /have the proxy pass the path unchanged/);
});

behindNginx('a prefix that the broker does not know leads to its real path', {
  edit: instead(['location / {', 'location /signal/ {']),
}, async ({ visit, proxy }) => {
  visit.tolerate(/status of 404/);
  const page = await visit.open(desktop, urlOf(proxy, '/signal/'));

  const text = await page.locator('body').innerText();
  assert.match(text, /GET \/signal\/ was not found/);
  assert.match(text, new RegExp(`host: "127\\.0\\.0\\.1",\\s*port: ${proxy.port},\\s*path: "/",`));
});

behindNginx('client options are those of the proxy, not those of the broker', {}, async ({ visit, proxy, server }) => {
  const page = await visit.open(desktop, urlOf(proxy, '/'));

  // The tab of npm, which is not shown at first, has them.
  const text = await page.locator('body').textContent();
  assert.match(text, new RegExp(`port: ${proxy.port},\\s*path: "/",\\s*key: "peerjs",\\s*secure: true`));
  assert.ok(!text.includes(String(server.port)), text);
});

behindNginx('a proxy that hides the host makes the form name --proxied and Host', {
  flags: ['--registration', 'open'],
  edit: without('$http_host'),
}, async ({ proxy }) => {
  // As a browser sends it without Sec-Fetch-Site, from plain HTTP in a LAN.
  const form = 'name=My+game&origin=https%3A%2F%2Fgame.example.org';
  const { status, body } = await request(proxy, { method: 'POST', path: '/broker/register' }, {
    Origin: `https://127.0.0.1:${proxy.port}`, 'Content-Type': 'application/x-www-form-urlencoded',
  }, form);

  assert.equal(status, 403);
  assert.match(body, /has to pass the Host header on, or the server needs --proxied/);
});

behindNginx('the API refuses a proxy when it has no token, and names the flag', {
  flags: ['--proxied', '--ops_port', '0'],
  target: async (server) => ({ port: Number((await server.line(/^The API listens on http:\/\/127\.0\.0\.1:(\d+)/))[1]) }),
}, async ({ proxy }) => {
  const { status, body } = await get(proxy, '/api/stats');

  assert.equal(status, 403);
  assert.match(body, /without --admin_token_file, only programs on the server's machine are allowed.*without a proxy/);
});

for (const [behaviour, flags, edit, says] of /** @type {any[][]} */ ([
  ['a proxy without X-Forwarded-For is named in the log', ['--proxied'], without('X-Forwarded-For  '), /127\.0\.0\.1 has no X-Forwarded-For.*have the proxy set the header/],
  ['a proxy in front of a broker without --proxied is named in the log', [], undefined, /X-Forwarded-For, which is ignored.*start the broker with --proxied/],
  ['a proxy whose address is not trusted is named in the log', ['--proxied', '--trusted_proxy', '192.0.2.0/24'], undefined, /X-Forwarded-For, which is ignored.*add it to --trusted_proxy/],
])) {
  behindNginx(behaviour, { flags, edit }, async ({ visit, server, proxy }) => {
    const page = await visit.open(desktop, urlOf(proxy, '/'));
    await page.locator('#test-broker').click();
    await page.locator('#test-summary[data-state="ok"]').waitFor();
    await server.stop();

    visit.tolerate(UNREACHABLE);
    assert.match(server.transcript(), says);
  });
}

const get = (proxy, path, headers) => request(proxy, { path }, headers);

async function request({ host, port }, options, headers, body) {
  const asked = https.request({ host, port, rejectUnauthorized: false, agent: false, ...options, headers });
  asked.end(body);
  const [response] = await within('an answer', once(asked, 'response'));
  let text = '';
  for await (const bytes of response) text += bytes;
  return { status: response.statusCode, body: text };
}
