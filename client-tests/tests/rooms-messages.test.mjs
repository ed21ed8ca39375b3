// The order in which rooms.mjs tells messages, with a peer whose server is this test.

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { joinRoom } from '../../static/rooms.mjs';

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
    this.hears({ type: 'ROOM-MEMBERS', members, request: this.sent.pop().request });
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
