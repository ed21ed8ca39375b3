// What rooms.mjs tells and keeps, with a peer whose server is this test.

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { joinRoom } from '../../client/src/rooms/rooms.js';

/** An open peer. The server answers a join with the members. */
class FakePeer extends EventEmitter {
  id = 'anna';
  open = true;
  destroyed = false;
  /** @type {any} */
  socket = Object.assign(new EventEmitter(), { send: (/** @type {any} */ request) => this.sent.push(request) });
  /** @type {any[]} */
  sent = [];

  call() {
    throw new Error('no test calls');
  }

  /** @param {any} message */
  hears(message) {
    this.socket.emit('message', { room: 'lobby', ...message });
  }

  /** @param {string[]} ids */
  answersWith(ids) {
    const members = ids.map((id) => ({ id, data: { name: id } }));
    const { request, room } = this.sent.pop();
    this.hears({ type: 'ROOM-MEMBERS', room, members, request });
  }
}

/** The listener of USE.md, which needs the data of each sender. @param {any} room */
function listenTo(room) {
  /** @type {string[]} */
  const heard = [];
  room.on('message', (/** @type {any} */ { from, payload }) =>
    heard.push(`${from ? room.members.get(from).name : 'the app'}: ${payload}`));
  return heard;
}

test('messages wait until the page listens and their senders are known', async () => {
  const peer = new FakePeer();
  const joining = joinRoom(peer, 'lobby');
  peer.hears({ type: 'ROOM-MESSAGE', src: 'bert', payload: 1 });
  peer.hears({ type: 'ROOM-MESSAGE', src: 'clara', payload: 2 });
  peer.hears({ type: 'SERVER-MESSAGE', payload: 3 });
  peer.answersWith(['anna', 'bert']);
  peer.hears({ type: 'ROOM-MESSAGE', src: 'bert', payload: 4 });
  const heard = listenTo(await joining);
  await pause();
  assert.deepEqual(heard, ['bert: 1', 'the app: 3', 'bert: 4']);

  peer.hears({ type: 'ROOM-MESSAGE', src: 'clara', payload: 5 });
  peer.hears({ type: 'ROOM-MESSAGE', src: 'bert', payload: 6 });
  peer.hears({ type: 'ROOM-JOINED', id: 'clara', data: { name: 'clara' } });
  peer.hears({ type: 'ROOM-MESSAGE', src: 'clara', payload: 7 });
  assert.deepEqual(heard.slice(3), ['bert: 6', 'clara: 2', 'clara: 5', 'clara: 7']);
});

/** A room of this page alone, and a way to begin calls there. */
async function enterAlone() {
  const peer = new FakePeer();
  const joining = joinRoom(peer, 'lobby');
  peer.answersWith(['anna']);
  const room = await joining;
  const call = async () => {
    const calling = room.callEverybody(/** @type {any} */ ({ getTracks: () => [] }));
    peer.answersWith(['anna']);
    return calling;
  };
  return { peer, room, call };
}

test('a call that was left is forgotten, also while the room goes on', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  const { peer, call } = await enterAlone();
  const left = [];
  for (let time = 0; time < 30; time += 1) {
    const one = await call();
    const leaving = one.leave();
    peer.hears({ type: 'ROOM-OK', room: one.name, request: peer.sent.pop().request });
    await leaving;
    left.push(new WeakRef(one));
  }
  await pause();
  collect();
  // The engine may still have the last one.
  assert.ok(left.filter((one) => one.deref()).length <= 1);
});

test('calls of strangers are few, and end unless their callers join', async (t) => {
  const { peer, call } = await enterAlone();
  const { name } = await call();
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let open = 0;
  for (let caller = 0; caller < 150; caller += 1) {
    open += 1;
    peer.emit('call', { peer: `stranger ${caller}`, metadata: { room: name }, close: () => (open -= 1) });
  }
  assert.equal(open, 100);
  t.mock.timers.tick(15_000);
  assert.equal(open, 0);
});

test('a call into which the page does not come is an error', async () => {
  const { peer, room } = await enterAlone();
  peer.open = false;
  peer.emit('disconnected');
  const waiting = assert.rejects(room.callEverybody(/** @type {any} */ ({ getTracks: () => [] })), { name: 'RoomError', type: 'not_member' });
  await room.leave();
  await waiting;
  await assert.rejects(room.callEverybody(/** @type {any} */ ({ getTracks: () => [] })), { name: 'RoomError', type: 'not_member' });
});

test('a listener can be removed', async () => {
  const { peer, room } = await enterAlone();
  const heard = [];
  const listener = ({ payload }) => heard.push(payload);
  room.on('message', listener);
  await pause();
  peer.hears({ type: 'SERVER-MESSAGE', payload: 1 });
  room.off('message', listener);
  peer.hears({ type: 'SERVER-MESSAGE', payload: 2 });
  assert.deepEqual(heard, [1]);
});
