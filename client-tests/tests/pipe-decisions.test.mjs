// webrtc.js beside native WebRTC: which of the two ways data takes, and what the page hears of that.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, afterEach, test } from 'node:test';
import { SessionDescription } from '../../client/src/pipe/descriptions.js';
import { DataChannelEvent } from '../../client/src/pipe/events.js';
import { withoutLine } from '../../client/src/pipe/sdp-line.js';
import { source } from '../../client/src/pipe/engine.js';
import { startKeys } from '../../client/src/pipe/prepared-keys.js';
import { makeNativeFirst } from '../../client/src/pipe/native.js';
import { BrowserSocket } from '../lib/browser-socket.mjs';
import { FakeNative, isNative } from '../lib/fake-native.mjs';
import { startPipeServer } from '../lib/pipe-server.mjs';
import { LIMIT, until, within } from '../lib/within.mjs';

Object.assign(globalThis, { WebSocket: BrowserSocket, RTCSessionDescription: SessionDescription, RTCDataChannelEvent: DataChannelEvent });
const server = await startPipeServer();
after(() => server.stop());
startKeys(source);
const Connection = makeNativeFirst(/** @type {any} */ (FakeNative), { broker: server.url, key: 'peerjs' }, source, isNative);

const made = /** @type {any[]} */ ([]);
afterEach(async () => {
  server.meddle = (frame) => [frame];
  made.splice(0).forEach((connection) => connection.close());
  await until('the pipes to end', () => server.pipes.size === 0);
  server.refuses = false;
  server.requests.length = 0;
  FakeNative.more = '';
});

function make() {
  const connection = /** @type {any} */ (new Connection());
  const story = /** @type {string[]} */ ([]);
  connection.addEventListener('connectionstatechange', () => story.push(connection.connectionState));
  connection.addEventListener('pipe', () => story.push('pipe'));
  connection.addEventListener('datachannel', ({ channel }) => {
    story.push(`datachannel ${channel.label}`);
    listen(channel, story);
  });
  made.push(connection);
  return { connection, story };
}

function listen(channel, story) {
  for (const type of ['open', 'close', 'error']) channel.addEventListener(type, () => story.push(`${type} ${channel.readyState}`));
  channel.addEventListener('message', ({ data }) => story.push(data));
}

/**
 * Two pages whose descriptions are exchanged, with a channel of the offerer.
 * @param {{ change?: (sdp: string) => string, beforeAnswer?: (offerer: any) => void }} how
 */
async function meet({ change = (sdp) => sdp, beforeAnswer = () => {} } = {}) {
  const [offerer, answerer] = [make(), make()];
  const channel = offerer.connection.createDataChannel('x');
  listen(channel, offerer.story);
  const send = ({ type, sdp }) => ({ type, sdp: change(sdp) });
  await offerer.connection.setLocalDescription(await offerer.connection.createOffer());
  await answerer.connection.setRemoteDescription(send(offerer.connection.localDescription));
  await answerer.connection.setLocalDescription(await answerer.connection.createAnswer());
  beforeAnswer(offerer);
  await offerer.connection.setRemoteDescription(send(answerer.connection.localDescription));
  return { offerer, answerer, channel };
}

/** Records wait from now on. */
function holdRecords() {
  const waiting = [];
  server.meddle = (frame) => {
    if (frame[0] !== 1) return [frame];
    waiting.push(frame);
    return [];
  };
  return { waiting };
}

const fail = ({ offerer, answerer }) => [offerer, answerer].forEach(({ connection }) => connection.turn('failed'));

/** Native WebRTC has failed, and the question of the offerer is on its way. */
async function ask() {
  const pages = await meet();
  const { waiting } = holdRecords();
  fail(pages);
  await until('the question', () => waiting.length === 1);
  return pages;
}

const options = { timeout: LIMIT };

test('native WebRTC does not see the line, and the page does', options, async () => {
  const { offerer, answerer, channel } = await meet();
  for (const { connection } of [offerer, answerer]) {
    for (const { sdp } of connection.given) assert.doesNotMatch(sdp, /a=pipe/);
    assert.match(connection.localDescription.sdp, /^a=pipe:1 \S+ \S+\r$/m);
    assert.match(connection.currentLocalDescription.sdp, /^a=pipe:1 /m);
  }
  channel.tell('open', 'open');
  answerer.connection.arrive('x');
  channel.hear('hello');
  channel.send('directly');
  assert.deepEqual(offerer.story, ['open open', 'hello']);
  assert.deepEqual(answerer.story, ['datachannel x']);
  assert.deepEqual([channel.sent, server.requests.length], [['directly'], 0]);
  assert.equal(Object.hasOwn(channel, 'readyState') || Object.hasOwn(channel, 'close'), false, 'an open channel is all native');
});

test('if native WebRTC fails at both, data goes over the pipe, on the objects that the page has', options, async () => {
  const pages = await meet();
  const { offerer, answerer, channel } = pages;
  offerer.connection.turn('checking');
  fail(pages);
  // As Firefox does then.
  channel.tell('close', 'closed');
  await until('both channels', () => answerer.story.includes('open open') && offerer.story.includes('open open'));
  channel.send('over the pipe');
  await until('the message', () => answerer.story.includes('over the pipe'));
  assert.deepEqual(offerer.story, ['checking', 'connected', 'pipe', 'open open']);
  assert.deepEqual(answerer.story, ['connected', 'pipe', 'datachannel x', 'open open', 'over the pipe']);
  assert.deepEqual([offerer.connection.isClosed, answerer.connection.isClosed, channel.sent], [true, true, []]);
  // What native WebRTC says afterwards is nothing to the page.
  channel.tell('open', 'open');
  channel.hear('over the native way');
  offerer.connection.turn('connected');
  answerer.connection.arrive('y');
  assert.deepEqual([offerer.story.length, answerer.story.length, channel.readyState], [4, 5, 'open']);
});

/** As Firefox does without a candidate of its own, as behind a proxy that WebRTC has to use. */
const failEarly = ({ connection, story }) => {
  connection.turn('failed');
  assert.deepEqual([story, connection.connectionState], [[], 'new']);
};

test('if native WebRTC fails before the answer, data goes over the pipe', options, async () => {
  const { offerer, answerer, channel } = await meet({ beforeAnswer: failEarly });
  answerer.connection.turn('failed');
  await until('the channel', () => channel.readyState === 'open');
  assert.deepEqual(offerer.story, ['connected', 'pipe', 'open open']);
});

test('if native WebRTC fails before the answer, and the other page has no line, the page hears it with the answer', options, async () => {
  const { offerer } = await meet({ beforeAnswer: failEarly, change: withoutLine });
  assert.deepEqual([offerer.story, server.requests.length], [['failed'], 0]);
});

test('if native WebRTC fails before an answer without data, the page hears it with the answer', options, async () => {
  const { offerer } = await meet({ beforeAnswer: failEarly, change: (sdp) => sdp.replace(/^m=application 9/m, 'm=application 0') });
  assert.deepEqual([offerer.story, server.requests.length], [['failed'], 0]);
});

test('what native WebRTC says while the offerer asks is told if the other page has it open', options, async () => {
  const { offerer, answerer, channel } = await ask();
  offerer.connection.turn('connected');
  channel.tell('open', 'open');
  channel.hear('one');
  const theirs = offerer.connection.arrive('y');
  theirs.hear('two');
  channel.hear('three');
  assert.deepEqual([offerer.story, channel.readyState, offerer.connection.connectionState], [[], 'connecting', 'new']);
  answerer.connection.arrive('x');
  await until('what was held', () => offerer.story.length === 6);
  assert.deepEqual(offerer.story, ['connected', 'open open', 'one', 'datachannel y', 'two', 'three']);
  channel.send('directly');
  assert.deepEqual([channel.sent, offerer.connection.isClosed], [['directly'], false]);
});

test('a native channel that opens at the offerer while it asks is given up if the other page does not have it', options, async () => {
  const { offerer, answerer, channel } = await ask();
  channel.tell('open', 'open');
  channel.hear('native');
  server.meddle = (frame) => [frame];
  server.drop(0);
  await until('both channels', () => answerer.story.includes('open open') && offerer.story.includes('open open'));
  channel.send('over the pipe');
  await until('the message', () => answerer.story.includes('over the pipe'));
  assert.deepEqual(offerer.story, ['connected', 'pipe', 'open open']);
  assert.deepEqual(channel.sent, []);
});

test('an offerer whose native channel opens before it asks says so, and the pipe goes', options, async () => {
  const { offerer, answerer, channel } = await meet();
  offerer.connection.turn('failed');
  await until('the pipe of the offerer', () => server.requests.length === 1);
  channel.tell('open', 'open');
  answerer.connection.turn('failed');
  await until('the end of all pipes', () => server.requests.length === 2 && server.pipes.size <= 1);
  offerer.connection.turn('connected');
  answerer.connection.turn('connected');
  answerer.connection.arrive('x');
  assert.deepEqual(offerer.story.slice(0, 2), ['failed', 'open open']);
  assert.equal(answerer.story.at(-1), 'datachannel x');
  assert.deepEqual([offerer, answerer].flatMap(({ story }) => story).includes('pipe'), false);
});

test('without a pipe the page hears that native WebRTC has failed', options, async () => {
  server.refuses = true;
  const pages = await meet();
  const { offerer, answerer, channel } = pages;
  fail(pages);
  assert.deepEqual(offerer.story, []);
  channel.tell('close', 'closed');
  await until('the end', () => offerer.story.length === 2 && answerer.story.length === 1);
  assert.deepEqual([offerer.story, answerer.story], [['failed', 'close closed'], ['failed']]);
});

const turn = () => new Promise((later) => { setImmediate(later); });

test('native WebRTC has five seconds before a page asks over a pipe', options, async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  await meet();
  t.mock.timers.tick(4_999);
  // A question of the page would be here before this one.
  await fetch(server.url);
  assert.equal(server.requests.length, 0);
  t.mock.timers.tick(1);
  while (server.requests.length < 2) await turn();
  t.mock.timers.reset();
});

test('a page whose question has no answer goes on with native WebRTC', options, async (t) => {
  const pages = await meet();
  const { offerer, channel } = pages;
  const { waiting } = holdRecords();
  t.mock.timers.enable({ apis: ['setTimeout'] });
  fail(pages);
  while (waiting.length < 1) await turn();
  channel.tell('open', 'open');
  assert.deepEqual(offerer.story, []);
  for (let second = 0; second < 30; second += 1) {
    t.mock.timers.tick(1_000);
    // Both ends have time to answer.
    for (let i = 0; i < 10; i += 1) await turn();
  }
  t.mock.timers.reset();
  assert.deepEqual(offerer.story, ['failed', 'open open']);
});

test('what a page holds back of native WebRTC has a bound', options, async () => {
  const { offerer, channel } = await ask();
  channel.tell('open', 'open');
  for (let i = 0; i < 65 && offerer.story.length === 0; i += 1) channel.hear(new ArrayBuffer(262_144));
  assert.deepEqual(offerer.story.slice(0, 2), ['failed', 'open open']);
});

const picture = (direction) => `m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=${direction}\r\n`;

test('a connection with a picture stays native, with its data', options, async () => {
  FakeNative.more = picture('sendrecv');
  const pages = await meet();
  fail(pages);
  assert.deepEqual([pages.offerer.story, pages.answerer.story, server.requests.length], [['failed'], ['failed'], 0]);
});

test('a connection over which nobody sends a picture is one of data', options, async () => {
  FakeNative.more = picture('inactive');
  const pages = await meet();
  fail(pages);
  await until('the channel', () => pages.channel.readyState === 'open');
});

test('a page that has added a picture meanwhile answers with native WebRTC', options, async () => {
  const pages = await meet();
  pages.offerer.connection.turn('failed');
  await until('the pipe of the offerer', () => server.requests.length === 1);
  pages.answerer.connection.turn('failed');
  pages.answerer.connection.senders.push({ track: {} });
  await until('the end', () => pages.offerer.story.length === 1 && pages.answerer.story.length === 1);
  assert.deepEqual([pages.offerer.story, pages.answerer.story], [['failed'], ['failed']]);
});

test('a page that closes its connection while it connects hears what native WebRTC says of its channels', options, async () => {
  const { connection, story } = make();
  const channel = connection.createDataChannel('x');
  listen(channel, story);
  await connection.setLocalDescription(await connection.createOffer());
  connection.close();
  assert.deepEqual([story, channel.readyState], [['close closed'], 'closed']);
});

test('without the line of the other page, everything is native', options, async () => {
  const pages = await meet({ change: withoutLine });
  fail(pages);
  assert.deepEqual([pages.offerer.story, pages.answerer.story, server.requests.length], [['failed'], ['failed'], 0]);
});

test('a page that closes what still connects hears that of native WebRTC, and nothing moves to the pipe', options, async () => {
  const pages = await meet();
  const { offerer, answerer, channel } = pages;
  const second = offerer.connection.createDataChannel('second');
  channel.close();
  assert.deepEqual(offerer.story, ['close closed']);
  fail(pages);
  await until('the other channel', () => answerer.story.includes('datachannel second'));
  assert.deepEqual([channel.readyState, second.readyState, answerer.story.includes('datachannel x')], ['closed', 'open', false]);
});

test('a page of native WebRTC whose other has none goes over the pipe at once', options, async () => {
  const { connection, story } = make();
  const channel = connection.createDataChannel('x');
  listen(channel, story);
  await connection.setLocalDescription(await connection.createOffer());
  const other = make().connection;
  await other.setRemoteDescription(connection.localDescription);
  await other.setLocalDescription(await other.createAnswer());
  const { type, sdp } = other.localDescription;
  const before = connection.given.length;
  await connection.setRemoteDescription({ type, sdp: sdp.replace(/^(a=pipe:1 \S+ \S+)\r$/m, '$1 only\r') });
  assert.deepEqual([connection.given.length, connection.isClosed, connection.signalingState], [before, true, 'stable']);
  await until('its pipe', () => server.requests.length === 1);
  assert.deepEqual(story, ['connecting']);
});

/** The native way between two pages: what one sends, the other hears once its channel is open, unless it has closed its connection. */
class NativeWay {
  #ends = new Map();

  /** @param {any} connection @param {() => any} open opens the native channel of this end */
  add(connection, open) {
    this.#ends.set(connection, { open, channel: undefined, waiting: [] });
  }

  open(connection) {
    const end = this.#ends.get(connection);
    if (connection.isClosed || end.channel) return;
    end.channel = end.open();
    const [other] = [...this.#ends].filter(([key]) => key !== connection).map(([, value]) => value);
    end.channel.send = (text) => {
      end.sent = true;
      if (other.channel) other.channel.hear(text);
      else other.waiting.push(text);
    };
    end.waiting.splice(0).forEach((text) => end.channel.hear(text));
  }
}

/** Numbers from a seed (mulberry32). */
function chance(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

test('both pages take the same way, and each message arrives once, whatever comes first', { timeout: LIMIT }, async (t) => {
  const seeds = process.env.PIPE_SEED ? [Number(process.env.PIPE_SEED)] : Array.from({ length: 100 }, (_, seed) => seed);
  const ways = { pipe: 0, native: 0 };
  for (const seed of seeds) {
    const random = chance(seed);
    const pages = await meet();
    const { offerer, answerer, channel } = pages;
    const way = new NativeWay();
    way.add(offerer.connection, () => {
      channel.tell('open', 'open');
      return channel;
    });
    way.add(answerer.connection, () => answerer.connection.arrive('x'));
    const theirs = new Promise((arrived) => {
      answerer.connection.addEventListener('datachannel', (event) => arrived(event.channel));
    });
    const mine = new Promise((opened) => { channel.addEventListener('open', () => opened(channel)); });
    const happen = [
      () => offerer.connection.turn('failed'), () => answerer.connection.turn('failed'),
      () => way.open(offerer.connection), () => way.open(answerer.connection),
    ];
    // A decision takes some 15 ms: native channels open before it, during it, or too late.
    await Promise.all(happen.map(async (what, i) => {
      await new Promise((done) => { setTimeout(done, random() * (i < 2 ? 10 : 70)); });
      what();
    }));
    const [one, other] = await within(`both channels of seed ${seed}: ${offerer.story} | ${answerer.story}`, Promise.all([mine, theirs]));
    if (other.readyState !== 'open') await within(`an open channel of seed ${seed}`, once(other, 'open'));
    const texts = Array.from({ length: 5 }, (_, i) => `${seed} ${i}`);
    const heard = [[], []];
    [other, one].forEach((target, i) => target.addEventListener('message', ({ data }) => heard[i].push(data)));
    for (const text of texts) {
      one.send(text);
      other.send(text);
      await new Promise((done) => { setTimeout(done, random() * 2); });
    }
    await until(`all messages of seed ${seed}`, () => heard.every(({ length }) => length >= 5));
    assert.deepEqual(heard, [texts, texts], `seed ${seed}`);
    const overPipe = [offerer, answerer].map(({ story }) => story.includes('pipe'));
    assert.equal(overPipe[0], overPipe[1], `seed ${seed}`);
    ways[overPipe[0] ? 'pipe' : 'native'] += 1;
    made.splice(0).forEach((connection) => connection.close());
    await until('the pipes to end', () => server.pipes.size === 0);
  }
  t.diagnostic(JSON.stringify(ways));
  if (seeds.length > 1) assert.ok(ways.pipe > 0 && ways.native > 0, JSON.stringify(ways));
});
