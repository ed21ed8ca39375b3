// webrtc.js in Node: the connection of a page without native WebRTC, over the endpoint of lib/pipe-server.mjs.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, afterEach, test } from 'node:test';
import { NEXT, nextFrame } from '../../client/src/pipe/frames.js';
import { withoutLine } from '../../client/src/pipe/sdp-line.js';
import { BrowserSocket } from '../lib/browser-socket.mjs';
import { gc } from '../lib/memory.mjs';
import { startPipeServer } from '../lib/pipe-server.mjs';
import { LIMIT, until, within } from '../lib/within.mjs';

const page = new EventTarget();
const [addEventListener, removeEventListener] = [page.addEventListener.bind(page), page.removeEventListener.bind(page)];
Object.assign(globalThis, { WebSocket: BrowserSocket, addEventListener, removeEventListener });
// The script looks for these when it is loaded.
const { install } = await import('../../client/src/pipe/install.js');
const server = await startPipeServer({ away: 2_000 });
install({ broker: server.url, key: 'a key', token: async () => 'a token' });
after(() => server.stop());

const made = /** @type {RTCPeerConnection[]} */ ([]);
afterEach(() => {
  made.splice(0).forEach((connection) => connection.close());
  server.meddle = (frame) => [frame];
  server.refuses = false;
  server.isClosed = false;
});

const STATES = ['signalingState', 'iceGatheringState', 'iceConnectionState', 'connectionState'];

function make() {
  const connection = new RTCPeerConnection();
  const story = /** @type {string[]} */ ([]);
  for (const state of STATES) connection.addEventListener(`${state.toLowerCase()}change`, () => story.push(`${state} ${connection[state]}`));
  for (const type of ['pipe', 'negotiationneeded', 'datachannel']) connection.addEventListener(type, () => story.push(type));
  connection.addEventListener('icecandidate', ({ candidate }) => story.push(`candidate ${candidate}`));
  made.push(connection);
  return { connection, story };
}

async function exchange(one, other) {
  await one.setLocalDescription(await one.createOffer());
  await other.setRemoteDescription(one.localDescription);
  await other.setLocalDescription(await other.createAnswer());
  await one.setRemoteDescription(other.localDescription);
}

const next = (target, type) => within(`the event ${type}`, once(target, type).then(([event]) => event));

/** Two connections with an open channel. */
async function connect() {
  const [one, other] = [make(), make()];
  const mine = one.connection.createDataChannel('x');
  const arrived = next(other.connection, 'datachannel');
  await exchange(one.connection, other.connection);
  const [{ channel: theirs }] = await Promise.all([arrived, next(mine, 'open')]);
  return { one, other, mine, theirs };
}

const options = { timeout: LIMIT };

test('states and events come in the order of browsers', options, async () => {
  const { one, other } = await connect();
  const only = (story, ...names) => story.filter((line) => names.some((name) => line.startsWith(name)));
  assert.deepEqual(only(one.story, 'signaling'), ['signalingState have-local-offer', 'signalingState stable']);
  assert.deepEqual(only(other.story, 'signaling'), ['signalingState have-remote-offer', 'signalingState stable']);
  for (const { story } of [one, other]) {
    assert.deepEqual(only(story, 'iceGathering', 'candidate'), ['iceGatheringState gathering', 'iceGatheringState complete', 'candidate null']);
    assert.deepEqual(only(story, 'iceConnection', 'connection', 'pipe', 'datachannel').slice(0, 5), [
      'iceConnectionState checking', 'connectionState connecting', 'iceConnectionState connected', 'connectionState connected', 'pipe',
    ]);
  }
  assert.equal(other.story.at(-1), 'datachannel');
});

test('the pipe is at the id of the offer, with key, token and an end of each page', options, async () => {
  const { one } = await connect();
  const [first, second] = server.requests.slice(-2);
  const [, id] = one.connection.localDescription.sdp.match(/^a=pipe:1 (\S{22}) \S{43} only\r$/m);
  for (const { pathname, searchParams } of [first, second]) {
    assert.deepEqual([pathname, searchParams.get('key'), searchParams.get('token')], [`/pipe/${id}`, 'a key', 'a token']);
    assert.match(searchParams.get('end'), /^[\w-]{22}$/);
  }
  assert.notEqual(first.searchParams.get('end'), second.searchParams.get('end'));
});

test('a page is connected once the other has proved its key, and not before', options, async () => {
  let withheld = 0;
  // Pipes of the test before may still end.
  const others = new Set(server.pipes.values());
  server.meddle = (frame, pipe) => {
    if (frame[0] === NEXT || others.has(pipe)) return [frame];
    withheld += 1;
    return [];
  };
  const [one, other] = [make(), make()];
  const mine = one.connection.createDataChannel('x');
  await exchange(one.connection, other.connection);
  await until('a proof of each', () => withheld === 2);
  assert.deepEqual([one.connection.connectionState, other.connection.connectionState, mine.readyState], ['connecting', 'connecting', 'connecting']);
});

test('no message is lost, doubled or out of order over 20 lost sockets', options, async () => {
  const { mine, theirs } = await connect();
  const [heard, echoed] = [[], []];
  theirs.onmessage = ({ data }) => {
    heard.push(data);
    theirs.send(data);
  };
  mine.onmessage = ({ data }) => echoed.push(data);
  const expected = [];
  const before = server.openings;
  for (let loss = 0; loss < 20; loss += 1) {
    for (let i = 0; i < 40; i += 1) {
      expected.push(`${expected.length} ${'x'.repeat((i * 997) % 20_000)}`);
      mine.send(expected.at(-1));
    }
    // The socket is lost while some of these are on their way.
    // A page that the machine keeps waiting may take another socket by itself.
    await until('both ends to be there', () => server.openings >= before + loss);
    server.drop(loss);
  }
  await until('all messages', () => echoed.length === expected.length);
  assert.deepEqual(heard, expected);
  assert.deepEqual(echoed, expected);
});

test('what an end sent to a socket that is gone does not reach the next one', options, async () => {
  const { mine, theirs } = await connect();
  const heard = [];
  theirs.onmessage = ({ data }) => heard.push(data);
  // Frames of the end that stays wait in the network, and arrive after the other end is back.
  const late = [];
  server.meddle = (frame) => {
    late.push(frame);
    return [];
  };
  for (let i = 0; i < 5; i += 1) mine.send(`${i}`);
  await until('the messages to wait', () => late.length === 5);
  let isFirst = true;
  server.meddle = (frame) => {
    if (!isFirst) return [frame];
    isFirst = false;
    return [Buffer.from(nextFrame(NEXT, 1, 0)), ...late.slice(2), frame];
  };
  server.drop(1);
  await until('all messages', () => heard.length === 5);
  assert.deepEqual(heard, ['0', '1', '2', '3', '4']);
});

test('a page that is online again tries its pipe, and replaces the socket that says nothing', options, async () => {
  const { mine, theirs } = await connect();
  const before = server.openings;
  page.dispatchEvent(new Event('online'));
  mine.send('one');
  assert.equal((await next(theirs, 'message')).data, 'one');
  assert.equal(server.openings, before, 'a pipe that answers stays');

  server.isSilent = true;
  page.dispatchEvent(new Event('online'));
  mine.send('two');
  await until('other sockets', () => server.openings > before);
  server.isSilent = false;
  page.dispatchEvent(new Event('online'));
  assert.equal((await next(theirs, 'message')).data, 'two');
});

test('a page that goes away says so', options, async () => {
  const { mine, theirs } = await connect();
  const closed = [mine, theirs].map((channel) => next(channel, 'close'));
  page.dispatchEvent(new Event('pagehide'));
  await Promise.all(closed);
});

const ATTACKS = {
  'is changed': (frame) => [Buffer.from([...frame.subarray(0, -1), frame.at(-1) ^ 1])],
  'is cut': (frame) => [frame.subarray(0, -1)],
  'comes twice': (frame) => [frame, frame],
  'is left out': () => [],
  'is of another pipe': (frame) => [Buffer.concat([frame.subarray(0, 9), Buffer.alloc(frame.length - 9, 5)])],
  'is no frame': () => [Buffer.from('hello')],
};

for (const [name, attack] of Object.entries(ATTACKS)) {
  test(`a record that ${name} ends the connection with an error, and nothing of it is delivered`, options, async () => {
    const { other, mine, theirs } = await connect();
    const heard = [];
    theirs.onmessage = ({ data }) => heard.push(data);
    theirs.onclose = () => heard.push('close');
    mine.send('good');
    await until('a good one', () => heard.length === 1);
    let records = 0;
    server.meddle = (frame) => {
      if (frame[0] !== 1) return [frame];
      records += 1;
      return records === 1 ? attack(frame) : [frame];
    };
    const failed = next(theirs, 'error');
    const states = next(other.connection, 'connectionstatechange');
    mine.send('bad');
    mine.send('after');
    const { error } = await failed;
    assert.equal(error.name, 'OperationError');
    await states;
    assert.deepEqual(heard, name === 'comes twice' ? ['good', 'bad', 'close'] : ['good', 'close']);
    assert.deepEqual([theirs.readyState, other.connection.connectionState, other.connection.iceConnectionState], ['closed', 'failed', 'failed']);
  });
}

test('a connection that one page closes ends at the other', options, async () => {
  const { one, other, mine, theirs } = await connect();
  const events = [];
  for (const channel of [mine, theirs]) channel.addEventListener('close', () => events.push('close'));
  const failed = next(theirs, 'error');
  theirs.send('last words');
  one.connection.close();
  assert.deepEqual([one.connection.signalingState, one.connection.connectionState], ['closed', 'closed']);
  await next(other.connection, 'connectionstatechange');
  assert.equal(mine.readyState, 'closed');
  assert.deepEqual([events, theirs.readyState, other.connection.connectionState], [['close', 'close'], 'closed', 'disconnected']);
  const event = await failed;
  assert.ok(event instanceof RTCErrorEvent && event.error instanceof RTCError);
  const { name, errorDetail, sctpCauseCode } = event.error;
  assert.deepEqual([name, errorDetail, sctpCauseCode], ['OperationError', 'sctp-failure', 12]);
  await assert.rejects(one.connection.createOffer(), { name: 'InvalidStateError' });
  assert.throws(() => one.connection.createDataChannel('y'), { name: 'InvalidStateError' });
});

test('a page that closes a channel as it arrives does not hear that it is open', options, async () => {
  const [{ connection: one }, { connection: other }] = [make(), make()];
  const heard = [];
  const closed = new Promise((done) => {
    other.addEventListener('datachannel', ({ channel }) => {
      for (const type of ['open', 'close']) channel.addEventListener(type, () => heard.push(type));
      channel.addEventListener('close', done);
      channel.close();
    });
  });
  one.createDataChannel('x');
  await exchange(one, other);
  await within('the channel to close', closed);
  assert.deepEqual(heard, ['close']);
});

test('channels have their ids when both descriptions are set', options, async () => {
  const [{ connection: one }, { connection: other }] = [make(), make()];
  const [before, theirs] = [one.createDataChannel('x'), other.createDataChannel('y')];
  await exchange(one, other);
  const ids = [before, one.createDataChannel('z'), theirs].map(({ id }) => id);
  assert.deepEqual(ids, [1, 3, 0]);
});

test('the event of a channel has a channel', () => {
  assert.throws(() => new RTCDataChannelEvent('datachannel', /** @type {any} */ ({ channel: null })), TypeError);
});

test('an end that does not come back is gone: the channels of the other fail', options, async () => {
  const { one, other, mine, theirs } = await connect();
  const failed = Promise.race([mine, theirs].map((channel) => next(channel, 'error')));
  server.isClosed = true;
  server.drop(0);
  assert.match((await failed).error.message, /left/);
  assert.deepEqual([one, other].filter(({ connection }) => connection.connectionState === 'failed').length, 1);
});

const turn = () => new Promise((later) => { setImmediate(later); });

test('a page hears that the other is away after five seconds', options, async (t) => {
  const { one, other } = await connect();
  server.isClosed = true;
  const before = server.turnedAway;
  t.mock.timers.enable({ apis: ['setTimeout'] });
  server.drop(0);
  server.drop(1);
  // Attempts to come back begin once the loss is known.
  while (server.turnedAway < before + 2) {
    await turn();
    t.mock.timers.tick(1);
  }
  const states = () => [one, other].map(({ connection }) => connection.connectionState);
  t.mock.timers.tick(4_500);
  assert.deepEqual(states(), ['connected', 'connected']);
  t.mock.timers.tick(500);
  assert.deepEqual(states(), ['disconnected', 'disconnected']);
});

test('nothing keeps a connection that has failed', options, async () => {
  const failed = await (async () => {
    const { one, other, mine } = await connect();
    server.meddle = () => [Buffer.from('hello')];
    const all = [one, other].map(({ connection }) => next(connection, 'connectionstatechange'));
    mine.send('bad');
    await Promise.all(all);
    return made.splice(0).map((connection) => new WeakRef(connection));
  })();
  // Sockets that close are there for a while.
  await until('the connections to be gone', () => {
    gc();
    return failed.every((connection) => connection.deref() === undefined);
  });
});

test('without a pipe the connection fails', options, async () => {
  server.refuses = true;
  const [one, other] = [make(), make()];
  const mine = one.connection.createDataChannel('x');
  const failed = next(mine, 'error');
  await exchange(one.connection, other.connection);
  const heard = [];
  one.connection.addEventListener('iceconnectionstatechange', () => heard.push(one.connection.iceConnectionState));
  for (const type of ['closing', 'error', 'close']) mine.addEventListener(type, () => heard.push(type));
  assert.match((await failed).error.message, /Pipes are off\. Its operator reads in its log/);
  assert.deepEqual(heard, ['checking', 'failed', 'closing', 'error', 'close']);
});

test('without the line in the other description it fails at once, and the console says what to do', options, async (t) => {
  const warn = t.mock.method(console, 'warn', () => {});
  const before = server.requests.length;
  const [one, other] = [make(), make()];
  one.connection.createDataChannel('x');
  await one.connection.setLocalDescription();
  await other.connection.setRemoteDescription({ type: 'offer', sdp: withoutLine(one.connection.localDescription.sdp) });
  await other.connection.setLocalDescription();
  while (other.connection.connectionState !== 'failed') await next(other.connection, 'connectionstatechange');
  assert.match(warn.mock.calls[0].arguments[0], /both pages need webrtc\.js/);
  assert.equal(server.requests.length, before);
});

test('descriptions go through their states as in browsers', options, async () => {
  const { connection: one } = make();
  one.createDataChannel('x');
  await assert.rejects(one.createAnswer(), { name: 'InvalidStateError' });
  await assert.rejects(one.setRemoteDescription({ type: 'answer', sdp: 'v=0\r\n' }), { name: 'InvalidStateError' });
  await assert.rejects(one.setRemoteDescription({ type: 'offer', sdp: 'hello' }), { name: 'OperationError' });
  await assert.rejects(one.addIceCandidate({ candidate: 'candidate:1', sdpMid: '0' }), { name: 'InvalidStateError' });
  await assert.rejects(one.addIceCandidate({ candidate: 'candidate:1' }), TypeError);
  await one.setLocalDescription();
  assert.equal(one.signalingState, 'have-local-offer');
  assert.equal(one.pendingLocalDescription.type, 'offer');
  assert.equal(one.currentLocalDescription, null);
  await one.setLocalDescription({ type: 'rollback' });
  assert.deepEqual([one.signalingState, one.localDescription], ['stable', null]);
});

test('an offer in the middle of an own one takes that back, and both agree', options, async () => {
  const [{ connection: one }, { connection: other }] = [make(), make()];
  const mine = one.createDataChannel('x');
  const theirs = other.createDataChannel('y');
  await one.setLocalDescription();
  await other.setLocalDescription();
  await one.setRemoteDescription(other.localDescription);
  await one.setLocalDescription();
  await other.setRemoteDescription(one.localDescription);
  await Promise.all([next(mine, 'open'), next(theirs, 'open')]);
  assert.deepEqual([theirs.id, mine.id], [1, 0]);
});

test('a renegotiation keeps the line and the channels', options, async () => {
  const { one, other, mine, theirs } = await connect();
  const line = (connection) => connection.localDescription.sdp.match(/^a=pipe:.*$/m)[0];
  const before = [line(one.connection), line(other.connection)];
  const needed = next(other.connection, 'negotiationneeded');
  other.connection.restartIce();
  await needed;
  await exchange(other.connection, one.connection);
  assert.deepEqual([line(one.connection), line(other.connection)], before);
  mine.send('still here');
  assert.equal((await next(theirs, 'message')).data, 'still here');
});

test('callbacks of old pages are called', options, async () => {
  const { connection } = make();
  connection.createDataChannel('x');
  const old = (method, ...given) => new Promise((done, failed) => { connection[method](...given, done, failed); });
  const offer = await new Promise((done, failed) => { connection.createOffer(done, failed); });
  await old('setLocalDescription', offer);
  assert.equal(connection.localDescription.sdp, offer.sdp);
  await assert.rejects(old('setRemoteDescription', { type: 'answer', sdp: 'hello' }), { name: 'OperationError' });
});

test('sound and pictures are refused with a sentence', options, () => {
  const { connection } = make();
  for (const method of ['addTrack', 'addTransceiver', 'addStream', 'removeTrack']) {
    assert.throws(() => connection[method](), { name: 'NotSupportedError', message: /no sound and no pictures/ });
  }
});

test('statistics say what is true', options, async () => {
  const { one, mine, theirs } = await connect();
  mine.send('12345');
  await next(theirs, 'message');
  const all = await one.connection.getStats();
  const of = (type) => [...all.values()].find((entry) => entry.type === type);
  assert.equal(of('data-channel').bytesSent, 5);
  assert.equal(of('pipe').broker, server.url);
  assert.equal(all.get(of('transport').selectedCandidatePairId).state, 'succeeded');
  assert.equal(of('local-candidate').candidateType, 'relay');
});

test('`install` needs an address, and a second one changes only the settings of later connections', options, async () => {
  const Connection = RTCPeerConnection;
  const [one, other] = [make(), make()];
  install({ broker: server.url.replace('http', 'ws'), key: 'another key' });
  assert.equal(RTCPeerConnection, Connection);
  const before = server.requests.length;
  const opened = next(one.connection.createDataChannel('x'), 'open');
  await exchange(one.connection, other.connection);
  await opened;
  assert.deepEqual(server.requests.slice(before).map(({ searchParams }) => searchParams.get('key')), ['a key', 'a key']);
  assert.throws(() => install({ broker: 'ftp://example.org/' }), TypeError);
  assert.throws(() => install(/** @type {any} */ ({})), TypeError);
});
