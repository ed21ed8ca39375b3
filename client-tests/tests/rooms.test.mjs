// Rooms, for pages that have nothing but `peer.socket` of their PeerJS.

import assert from 'node:assert/strict';
import { everyClient, onStage } from '../lib/every-client.mjs';
import { releases } from '../lib/releases.mjs';
import { isThorough } from '../lib/thorough.mjs';

const room = 'lobby';

/** A client with an id that hears what PeerJS has no name for. */
async function opened(stage, server, id, version) {
  const client = await stage.client(version);
  await client.open(server, id);
  await client.hear();
  return client;
}

/** Has a client join the room; resolves with the ids of its members. */
async function join(client, data) {
  await client.send({ type: 'ROOM-JOIN', room, data });
  return members(client);
}

async function members(client) {
  const list = await client.must('ROOM-MEMBERS');
  return list.members.map(({ id }) => id);
}

everyClient('hears in a room who comes, changes, sends and goes', { firefox: isThorough }, async (stage) => {
  const server = await stage.server([]);
  const anna = await opened(stage, server, 'anna');
  const bert = await opened(stage, server, 'bert');
  assert.deepEqual(await join(anna, { name: 'Anna' }), ['anna']);

  await bert.send({ type: 'ROOM-JOIN', room, data: { name: 'B' }, request: 7 });
  const everybody = [{ id: 'anna', data: { name: 'Anna' } }, { id: 'bert', data: { name: 'B' } }];
  assert.deepEqual(await bert.must('ROOM-MEMBERS'), { room, members: everybody, request: 7 });
  assert.deepEqual(await anna.must('ROOM-JOINED'), { room, id: 'bert', data: { name: 'B' } });

  await bert.send({ type: 'ROOM-UPDATE', room, data: { name: 'Bert' } });
  assert.deepEqual(await anna.must('ROOM-UPDATED'), { room, id: 'bert', data: { name: 'Bert' } });

  await anna.send({ type: 'ROOM-SEND', room, payload: { text: 'hello everybody' } });
  assert.deepEqual(await bert.must('ROOM-MESSAGE'), { room, src: 'anna', payload: { text: 'hello everybody' } });
  await bert.send({ type: 'ROOM-SEND', room, dst: 'anna', payload: 'hello Anna' });
  assert.deepEqual(await anna.must('ROOM-MESSAGE'), { room, src: 'bert', dst: 'anna', payload: 'hello Anna' });

  await bert.send({ type: 'ROOM-LEAVE', room });
  assert.deepEqual(await anna.must('ROOM-LEFT'), { room, id: 'bert' });
  await bert.send({ type: 'ROOM-SEND', room, payload: 'still here?' });
  assert.equal((await bert.must('ROOM-REFUSED')).payload.type, 'not_member');

  // They can connect as before.
  const line = await anna.connect('bert');
  assert.equal(await line.echo('and directly'), 'and directly');
});

onStage('all releases meet in one room', async (stage) => {
  const server = await stage.server([]);
  const versions = Object.keys(releases);
  const clients = [];
  for (const [at, version] of versions.entries()) {
    const client = await opened(stage, server, `member-${at}`, version);
    assert.equal((await join(client)).length, at + 1);
    clients.push(client);
  }

  for (const [at, client] of clients.entries()) await client.send({ type: 'ROOM-SEND', room, payload: versions[at] });

  for (const [at, client] of clients.entries()) {
    const heard = [];
    while (heard.length < versions.length - 1) heard.push((await client.must('ROOM-MESSAGE')).payload);
    assert.deepEqual(heard.sort(), versions.toSpliced(at, 1).sort());
  }
});
