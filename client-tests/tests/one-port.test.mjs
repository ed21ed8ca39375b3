// Unmodified clients in networks that let only TCP to the broker's port out: they talk through the relay at that port.

import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import tls from 'node:tls';
import { signedFor } from '../lib/authority.mjs';
import { Network } from '../lib/network.mjs';
import { onNetwork } from '../lib/on-network.mjs';
import { SHIPPED_FOR_TCP, startShippedProxy } from '../lib/shipped-proxy.mjs';
import { Stage, testOn } from '../lib/stage.mjs';
import { isThorough } from '../lib/thorough.mjs';
import { within } from '../lib/within.mjs';

const NAME = 'broker.test';

/** A server with TLS and a relay. `flags` are additional ones. `at` is where clients find it. */
async function secureServer(stage, ...flags) {
  const { address } = stage.network;
  const certificate = signedFor(NAME, address);
  const server = await stage.server(['--relay', address, ...flags], { tls: certificate });
  const at = (browser) => ({ browser, trustsAll: true, authority: certificate.authority });
  return { server, at };
}

const wayOf = async (client) => {
  const { remote } = await client.way();
  return [remote.address, remote.protocol, remote.port];
};

/** Two clients talk, see and hear each other, each on its way to the relay: `ways`. */
async function meet(alice, bob, server, ways) {
  await bob.open(server, 'bob');
  await alice.open(server, 'alice');
  const line = await alice.connect('bob');
  assert.equal(await line.echo('hello'), 'hello');
  assert.deepEqual(await Promise.all([alice, bob].map(wayOf)), ways);
  await alice.call('bob');
  await Promise.all([alice.must('moving picture'), bob.must('moving picture')]);
  assert.deepEqual(await wayOf(alice), ways[0]);
}

for (const [caller, callee, limited] of /** @type {any[][]} */ ([
  ['chromium', 'chromium', ['a', 'b']],
  ...(isThorough
    ? [
      ['firefox', 'chromium', ['a', 'b']],
      ['firefox', 'firefox', ['a', 'b']],
      ['chromium', 'firefox', ['a']],
      ['firefox', 'chromium', ['a']],
      ['chromium', 'firefox', ['b']],
    ]
    : []),
])) {
  const sides = limited.length === 2 ? 'both sides' : `the side of the ${limited[0] === 'a' ? 'caller' : 'callee'}`;
  onNetwork(`with only the port of HTTPS for ${sides}, ${caller} calls ${callee}`, () => Network.apart(), async (stage) => {
    const { server, at } = await secureServer(stage);
    const alice = await stage.client('a', at(caller));
    const bob = await stage.client('b', at(callee));
    limited.forEach((host) => stage.network.letOutOnlyTcpTo(server.port, host));
    const { address } = stage.network;
    const ways = ['a', 'b'].map((host) => (limited.includes(host) ? [address, 'tcp', server.port] : [address, 'udp', 3478]));
    await meet(alice, bob, server, ways);
  });
}

// simple-peer describes itself once, without trickle, and may wait 5 s for STUN servers before it does.
for (const [limited, browser, own] of /** @type {any[][]} */ ([
  ['host', 'chromium', false],
  ...(isThorough ? [['host', 'chromium', true], ['host', 'firefox', true], ['player', 'firefox', false]] : []),
])) {
  const servers = own ? ' and simple-peer\'s own servers' : '';
  onNetwork(`a ${limited} of a room in ${browser} with only the broker's port${servers} plays`, () => Network.apart(), async (stage) => {
    const server = await stage.server(['--relay', stage.network.address]);
    const one = await stage.page('a', 'rooms', { browser });
    const other = await stage.page('b', 'rooms');
    stage.network.letOutOnlyTcpTo(server.port);
    if (own) await Promise.all([one.ask('useDefaultServers'), other.ask('useDefaultServers')]);
    const [host, player] = limited === 'host' ? [one, other] : [other, one];
    const url = `ws://${server.host}:${server.port}/`;
    const room = await host.ask('host', url);
    await player.ask('join', { url, room, username: 'ANNA' });
    assert.deepEqual([await player.must('connected'), await host.must('connected')], ['host', 'ANNA']);
    await player.ask('say', { to: 'host', text: 'hello' });
    assert.equal(await host.must('heard'), 'ANNA: hello');
  });
}

for (const kind of isThorough ? SHIPPED_FOR_TCP : []) {
  onNetwork(`with only port 443 out, Chromium calls Chromium through ${kind}`, () => Network.apart(), async (stage) => {
    const { server, at } = await secureServer(stage, '--host', '127.0.0.1', '--relay_tcp_port', '443', '--proxy_protocol');
    const proxy = await stage.proxy(kind, server);
    const [alice, bob] = [await stage.client('a', at('chromium')), await stage.client('b', at('chromium'))];
    ['a', 'b'].forEach((host) => stage.network.letOutOnlyTcpTo(443, host));
    const way = [proxy.host, 'tcp', 443];
    await meet(alice, bob, { ...proxy, secure: true }, [way, way]);
  });
}

/** A STUN Binding request, with its length in front (RFC 4571). */
const QUESTION = Buffer.from('0014' + '00010000' + '2112a442' + '0123456789abcdef01234567', 'hex');

for (const kind of SHIPPED_FOR_TCP) {
  testOn(`${kind} passes HTTPS and the relay's clients on`, () => new Stage(), async (stage) => {
    const server = await stage.server(['--relay', '127.0.0.1:0', '--proxy_protocol'], { tls: true });
    const proxy = await stage.keep('proxies', startShippedProxy(kind, server));
    const to = { host: proxy.host, port: proxy.port };

    const https = tls.connect({ ...to, rejectUnauthorized: false });
    https.write('GET /peerjs/id HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    const [head] = await within('an answer of HTTPS', once(https, 'data'));
    assert.ok(String(head).startsWith('HTTP/1.1 200'), String(head));
    https.destroy();

    const relay = net.connect(to).setNoDelay(true);
    relay.write(QUESTION);
    const [answer] = await within('an answer of the relay', once(relay, 'data'));
    // A success, with the transaction of the question.
    assert.equal(answer.subarray(2, 4).toString('hex'), '0101');
    assert.deepEqual(answer.subarray(10, 22), QUESTION.subarray(10));
    relay.destroy();
  });
}
