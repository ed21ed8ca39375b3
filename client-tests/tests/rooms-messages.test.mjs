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
  /** Times that the broker has forgotten the room. */
  restarts = 0;
  /** @type {any} */
  socket = Object.assign(new EventEmitter(), { send: (/** @type {any} */ request) => this.sent.push(request) });
  /** @type {any[]} */
  sent = [];

  /** @param {any} message */
  hears(message) {
    this.socket.emit('message', { room: 'lobby', ...message });
  }

  /** @param {string[]} ids @param {any} more */
  answersWith(ids, more = {}) {
    const members = ids.map((id, at) => ({ id, data: { name: id }, seat: at + 1, since: 1000 * this.restarts + at + 1, host: !id.startsWith('phone') }));
    const { request, room } = this.sent.pop();
    this.hears({ type: 'ROOM-MEMBERS', room, members, request, ...more });
  }

  call() {
    throw new Error('no test calls');
  }

  connect() {
    throw new Error('no test connects');
  }

  /** The broker has forgotten this peer, as in a restart. @param {string[]} ids @param {any} more */
  async comesBackTo(ids, more) {
    this.restarts += 1;
    this.emit('disconnected');
    this.emit('open');
    this.answersWith(ids, more);
    await pause();
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

/** A room, and its changes as texts. @param {string[]} ids @param {any} more */
async function enterGame(ids, more, options = {}) {
  const peer = new FakePeer();
  const joining = joinRoom(peer, 'lobby', undefined, options);
  peer.answersWith(ids, more);
  const room = await joining;
  await pause();
  /** @type {string[]} */
  const heard = [];
  room.on('host', ({ host, former }) => heard.push(`host ${former} → ${host}`));
  room.on('state', ({ name, value, former }) => heard.push(`${name} ${former} → ${value}`));
  return { peer, room, heard };
}

const ONLY_HOST = { name: '', value: 'host', version: 1, id: 'anna' };
const score = (value, version) => ({ name: 'score', value, version, id: 'anna' });

test('the state survives a restart of the broker, also where only the host writes', async (t) => {
  const { peer, room } = await enterGame(['anna'], { state: [ONLY_HOST, score(3, 7)] }, { writers: 'host' });
  t.mock.timers.enable({ apis: ['setTimeout'] });
  peer.restarts += 1;
  peer.emit('disconnected');
  peer.emit('open');
  assert.equal(peer.sent.at(-1).writers, 'host');
  peer.answersWith(['anna'], { state: [ONLY_HOST] });

  const { request, name, value, version } = peer.sent.pop();
  assert.deepEqual([name, value, version], ['score', 3, 0]);
  // Many come back at once.
  peer.hears({ type: 'ROOM-REFUSED', request, payload: { type: 'too_fast', msg: '' } });
  await Promise.resolve();
  await Promise.resolve();
  t.mock.timers.tick(2_000);
  assert.deepEqual([peer.sent.at(-1).name, room.state.get('score')], ['score', 3]);
});

test('after a restart, a version that was another value before is news', async () => {
  const { peer, room, heard } = await enterGame(['anna', 'bert'], { state: [score(1, 2), { ...score(5, 3), name: 'round' }] });
  await peer.comesBackTo(['bert', 'anna'], { state: [score(2, 2), { ...score(5, 4), name: 'round' }] });
  assert.deepEqual([room.state.get('score'), heard], [2, ['score 1 → 2', 'host anna → bert']]);

  // It writes with the versions of now.
  const updating = room.state.update('round', (round) => round + 1);
  const { request, version, value } = peer.sent.pop();
  assert.deepEqual([version, value], [4, 6]);
  peer.hears({ type: 'ROOM-OK', request });
  assert.equal(await updating, 6);
  peer.emit('close');
});

test('after a restart, what another member has not restored yet is written, and a page that was away deletes nothing of it', async () => {
  const round = { ...score(5, 3), name: 'round' };
  const { peer, room, heard } = await enterGame(['anna', 'bert'], { state: [score(1, 2), round] });
  await peer.comesBackTo(['bert', 'anna'], { state: [score(1, 1)] });
  assert.deepEqual(peer.sent.map(({ name, value, version }) => [name, value, version]), [['round', 5, 0]]);
  // Its connection breaks again, before the broker has it.
  peer.emit('disconnected');
  peer.emit('open');
  peer.hears({ type: 'ROOM-MEMBERS', members: [{ id: 'anna', seat: 2, since: 1002 }], state: [score(1, 1)] });
  assert.deepEqual([[...room.state], heard], [[['score', 1], ['round', 5]], ['host anna → bert', 'host bert → anna']]);
  peer.emit('close');
});

test('a page that was away for too long restores nothing that members have deleted', async () => {
  const { peer, room } = await enterGame(['anna', 'bert'], { state: [score(1, 2)] });
  peer.emit('disconnected');
  peer.emit('open');
  peer.answersWith(['anna', 'bert'], {});
  await pause();
  assert.deepEqual([[...room.state], peer.sent], [[], []]);
  peer.emit('close');
});

test('an update that changes nothing writes nothing, also when another member was faster', async () => {
  const { peer, room } = await enterGame(['anna'], {});
  const updating = room.state.update('buzz', (first) => first ?? 'anna');
  const { request } = peer.sent.pop();
  peer.hears({ type: 'ROOM-STATE', name: 'buzz', value: 'bert', version: 1, id: 'bert' });
  peer.hears({ type: 'ROOM-REFUSED', request, payload: { type: 'state_changed', msg: '' } });
  assert.equal(await updating, 'bert');
  assert.deepEqual(peer.sent, []);
});

test('members without a host hear of the first one', async () => {
  const { peer, heard } = await enterGame(['phone'], {}, { host: false });
  peer.hears({ type: 'ROOM-JOINED', id: 'screen', seat: 2, since: 2 });
  peer.hears({ type: 'ROOM-LEFT', id: 'screen' });
  assert.deepEqual(heard, ['host undefined → screen', 'host screen → undefined']);
});

test('a connection that was open before the news of its member is told', async (t) => {
  const { peer, room } = await enterGame(['anna'], {});
  const connecting = room.connectEverybody();
  peer.answersWith(['anna']);
  const connections = await connecting;
  t.mock.timers.enable({ apis: ['setTimeout'] });
  /** @type {string[]} */
  const connected = [];
  connections.on('connected', ({ id }) => connected.push(id));
  const line = Object.assign(new EventEmitter(), { peer: 'bert', open: true, metadata: { room: connections.name }, close() {} });
  peer.emit('connection', line);
  peer.hears({ type: 'ROOM-JOINED', room: connections.name, id: 'bert', data: null });
  assert.deepEqual(connected, ['bert']);
});
