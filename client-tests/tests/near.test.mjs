// Clients of one network find each other, and nobody else: listAllPeers() of released PeerJS, and rooms.js.

import assert from 'node:assert/strict';
import { Network } from '../lib/network.mjs';
import { onNetwork } from '../lib/on-network.mjs';

const NEAR = ['--allow_discovery', 'near'];

/** Both hosts with a page whose peer is open, and which is in the room of its network. */
async function both(stage, server, browsers) {
  const clients = [];
  for (const [i, host] of ['a', 'b'].entries()) {
    const client = await stage.client(host, { browser: browsers[i] });
    const seen = stage.seenFrom(host, server);
    await client.open(seen, host);
    await client.run(enter, `http://${seen.host}:${seen.port}/rooms.mjs`);
    clients.push(client);
  }
  return clients;
}

// These run in pages.

async function enter(url) {
  const { joinRoom } = await import(url);
  const peer = window.harness.thePeer();
  const room = window.room = await joinRoom(peer, '~near', { name: `${peer.id}'s device` });
  for (const type of ['joined', 'left', 'message']) room.on(type, (event) => window.log.record(type, event));
}

const members = () => [...window.room.members];

for (const browsers of [['chromium', 'firefox'], ['firefox', 'chromium']]) {
  onNetwork(`a phone with IPv6 and a desk with IPv4 find each other through a server of their LAN (${browsers.join(', ')})`, () => Network.lan(), async (stage) => {
    const server = await stage.server(NEAR);
    const [phone, desk] = await both(stage, server, browsers);

    assert.deepEqual([await phone.list(), await desk.list()], [['a', 'b'], ['a', 'b']]);
    assert.deepEqual(await phone.must('joined'), { id: 'b', data: { name: "b's device" } });
    const all = [['a', { name: "a's device" }], ['b', { name: "b's device" }]];
    assert.deepEqual([await phone.run(members), await desk.run(members)], [all, all]);
    await desk.run(() => window.room.send('hello'));
    assert.deepEqual(await phone.must('message'), { from: 'b', payload: 'hello', isPrivate: false });
    await desk.run(() => window.room.leave());
    assert.deepEqual(await phone.must('left'), { id: 'b', data: { name: "b's device" } });
  });
}

onNetwork('clients of two networks do not find each other', () => Network.apart({ a: ['v6'], b: ['v4'] }), async (stage) => {
  const server = await stage.server(NEAR);
  const [a, b] = await both(stage, server, ['chromium', 'firefox']);

  assert.deepEqual([await a.list(), await b.list()], [['a'], ['b']]);
  assert.deepEqual([await a.run(members), await b.run(members)], [[['a', { name: "a's device" }]], [['b', { name: "b's device" }]]]);
});
