// The proxies of deploy/ pass the true address of clients on, whatever headers the clients send.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { test } from 'node:test';
import { SHIPPED, startShippedProxy } from '../lib/shipped-proxy.mjs';
import { runCommand, selfSigned } from '../lib/server.mjs';
import { Stage } from '../lib/stage.mjs';
import { within } from '../lib/within.mjs';

/** Headers of a client that claims another address. */
const FORGED = {
  'X-Forwarded-For': '203.0.113.9',
  Forwarded: 'for=203.0.113.9',
  'X-Real-IP': '203.0.113.9',
};

for (const kind of SHIPPED) {
  test(`${kind}: a client has its own address and no other`, async () => {
    await behind(kind, async ({ server, proxy, addresses }) => {
      const honest = [await open(proxy, '127.0.0.5', 'a'), await open(proxy, '127.0.0.6', 'b')];
      const forger = await open(proxy, '127.0.0.7', 'forger', FORGED);
      assert.deepEqual(await addresses(), { a: '127.0.0.5', b: '127.0.0.6', forger: '127.0.0.7' });
      for (const socket of [...honest, forger]) socket.destroy();
      assert.ok(!server.transcript().includes('X-Forwarded-For'), server.transcript());
    });
  });

  test(`${kind}: two strangers have separate allowances`, async () => {
    const flags = ['--connections_per_address', '2'];
    await behind(kind, async ({ proxy, addresses }) => {
      const [one, other] = ['203.0.113.1', '203.0.113.2'].map((address) => ({ [proxy.clientHeader]: address }));
      const opened = [];
      for (const id of ['a', 'b']) opened.push(await open(proxy, '127.0.0.2', id, one));
      assert.equal(await refused(proxy, '127.0.0.2', 'c', one), 429);
      opened.push(await open(proxy, '127.0.0.3', 'd', other));
      assert.deepEqual(await addresses(), { a: '203.0.113.1', b: '203.0.113.1', d: '203.0.113.2' });

      const statuses = [];
      for (let n = 1; n <= 6; n += 1) statuses.push((await register(proxy, '127.0.0.2', one)).status);
      assert.deepEqual(statuses, [...Array(5).fill(303), 429]);
      assert.equal((await register(proxy, '127.0.0.3', other)).status, 303);
      for (const socket of opened) socket.destroy();
    }, { flags, outer: true });
  });

  test(`${kind}: a page of another site never counts as one of this server, whatever host it names`, async () => {
    await behind(kind, async ({ proxy }) => {
      const own = `https://127.0.0.1:${proxy.port}`;
      const evil = { Origin: 'https://evil.test', 'X-Forwarded-Host': 'evil.test', 'X-Forwarded-Proto': 'https' };
      assert.equal((await register(proxy, '127.0.0.5', evil)).status, 403);
      const { status, location } = await register(proxy, '127.0.0.5', { ...evil, Origin: own });
      assert.equal(status, 303);
      const { body } = await get(proxy, '127.0.0.5', new URL(location, `${own}/broker/register`), evil);
      assert.ok(body.includes(`data-port="${proxy.port}"`) || body.includes(`>${proxy.port}<`), body);
      assert.ok(!body.includes('evil.test'), body);
    });
  });
}

for (const kind of SHIPPED) {
  test(`${kind}: in front of a server with a relay, the doctor finds nothing wrong`, async () => {
    await behind(kind, async ({ server, proxy }) => {
      // As `--relay` alone, but for the port.
      await server.line(/^ *Calls: +relayed at /);
      const found = await runCommand('doctor', `https://127.0.0.1:${proxy.port}/`, '--ca', selfSigned().cert);
      assert.match(found, /ok +relay .* answers over UDP/);
    }, { flags: ['--relay', '0.0.0.0:0'] });
  });
}

test('nginx: plain HTTP is redirected to HTTPS', async () => {
  await behind('nginx', async ({ proxy }) => {
    const { host, plainPort: port } = proxy;
    const [answer] = await once(http.get({ host, port, path: '/broker/?a=1', headers: { Host: 'broker.example.com' } }), 'response');
    answer.resume();
    assert.equal(answer.statusCode, 301);
    assert.equal(answer.headers.location, 'https://broker.example.com/broker/?a=1');
  });
});

/** Runs a test with a server behind one of the proxies. */
async function behind(kind, body, { flags = [], outer = false } = {}) {
  const stage = new Stage();
  try {
    const server = await stage.server(['--proxied', '--registration', 'open', '--ops_port', '0', ...flags]);
    const proxy = await stage.keep('proxies', startShippedProxy(kind, server, { outer }));
    const [, api] = await server.line(/^The API listens on (http:[^\s,]+)/);
    const addresses = async () => {
      const { peers } = await (await fetch(`${api}/keys/peerjs/peers`)).json();
      return Object.fromEntries(peers.map(({ id, address }) => [id, address]));
    };
    await body({ server, proxy, addresses });
  } finally {
    await stage.clear();
  }
}

/** A WebSocket from this address that has received OPEN. */
async function open(proxy, localAddress, id, headers) {
  const request = handshake(proxy, localAddress, id, headers);
  const [, socket, head] = await within(`${id} to be upgraded`, once(request, 'upgrade'));
  let said = String(head);
  socket.on('error', () => {});
  while (!said.includes('OPEN')) said += (await within(`${id} to be open`, once(socket, 'data')))[0];
  return socket;
}

/** The status with which a WebSocket from this address is refused. */
async function refused(proxy, localAddress, id, headers) {
  const request = handshake(proxy, localAddress, id, headers);
  const [response] = await within(`${id} to be refused`, once(request, 'response'));
  response.resume();
  return response.statusCode;
}

function handshake(proxy, localAddress, id, headers = {}) {
  return https.get({
    ...to(proxy, localAddress),
    path: `/peerjs?key=peerjs&id=${id}&token=t`,
    headers: {
      ...headers,
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': 13,
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    },
  });
}

async function register(proxy, localAddress, headers = {}) {
  const form = new URLSearchParams({ name: 'My game', origin: 'https://game.example.org' }).toString();
  const request = https.request({
    ...to(proxy, localAddress),
    method: 'POST',
    path: '/broker/register',
    headers: { ...headers, 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': form.length },
  });
  request.end(form);
  return answer(request);
}

function get(proxy, localAddress, { pathname, search }, headers) {
  return answer(https.get({ ...to(proxy, localAddress), path: pathname + search, headers }));
}

async function answer(request) {
  const [response] = await within('an answer', once(request, 'response'));
  let body = '';
  for await (const bytes of response) body += bytes;
  return { status: response.statusCode, location: response.headers.location, body };
}

function to({ host, port }, localAddress) {
  return { host, port, localAddress, rejectUnauthorized: false, agent: false };
}
