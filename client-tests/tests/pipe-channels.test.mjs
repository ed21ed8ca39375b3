// Data channels over records of a pipe, without a socket.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { MOST_KEPT, readOptions } from '../../client/src/pipe/channel-options.js';
import { Channels, MOST_MESSAGE } from '../../client/src/pipe/channels.js';
import { nextTask } from '../../client/src/pipe/events.js';
import { present } from '../../client/src/pipe/data-channel.js';
import { BINARY, CLOSE, MOST_PAYLOAD, OPEN, PART, TEXT, readRecord, writeRecord } from '../../client/src/pipe/frames.js';
import { toUtf8 } from '../../client/src/pipe/bytes.js';
import { gc } from '../lib/memory.mjs';
import { until } from '../lib/within.mjs';

/** Both sides of a connection. Records arrive when the test calls `run`. */
class Both {
  sides = [this.#side(), this.#side()];
  records = [[], []];

  #side() {
    const side = { arrived: /** @type {any[]} */ ([]), channels: /** @type {Channels} */ (/** @type {any} */ (null)), room: Infinity };
    side.channels = new Channels((channel) => side.arrived.push(present(channel)));
    return side;
  }

  connect() {
    this.sides.forEach(({ channels }, i) => channels.setRole(i === 0));
    this.sides.forEach((side, i) => {
      const { records } = this;
      const pipe = {
        get hasRoom() { return records[i].length < side.room; },
        send: (plain) => records[i].push(plain),
      };
      side.channels.connected(pipe);
    });
    return this.run();
  }

  /** Delivers what waits, and what that leads to. */
  run() {
    while (this.records.some(({ length }) => length > 0)) {
      for (const i of [0, 1]) {
        const record = this.records[i].shift();
        if (!record) continue;
        this.sides[1 - i].channels.receive(readRecord(record));
        this.sides[i].channels.pump();
      }
    }
    return this;
  }

  create(i, label, options = undefined) {
    return present(this.sides[i].channels.create(readOptions(label, options)));
  }
}

function listen(channel) {
  const heard = /** @type {any[]} */ ([]);
  for (const type of ['open', 'closing', 'close', 'bufferedamountlow', 'error']) channel.addEventListener(type, () => heard.push(type));
  channel.addEventListener('message', ({ data }) => heard.push(typeof data === 'string' ? data : new Uint8Array(data)));
  return heard;
}

/** Both sides with one open channel. */
async function opened() {
  const both = new Both();
  const mine = both.create(0, 'x');
  both.connect();
  const [theirs] = both.sides[1].arrived;
  await once(theirs, 'open');
  return { both, mine, theirs };
}

test('a channel opens with what its page has asked for, and the other page gets it open, with a task to listen', async () => {
  const both = new Both();
  const mine = both.create(0, 'chat', { protocol: 'words', ordered: false, maxRetransmits: 3 });
  const heard = listen(mine);
  both.connect();
  mine.send('early');
  both.run();
  const [theirs] = both.sides[1].arrived;
  const described = ({ label, protocol, ordered, maxRetransmits, maxPacketLifeTime, negotiated, id, readyState }) => ({
    label, protocol, ordered, maxRetransmits, maxPacketLifeTime, negotiated, id, readyState,
  });
  assert.deepEqual(described(theirs), {
    label: 'chat', protocol: 'words', ordered: false, maxRetransmits: 3, maxPacketLifeTime: null, negotiated: false, id: 1, readyState: 'open',
  });
  assert.deepEqual(described(mine), described(theirs));
  assert.equal(heard[0], 'open');
  const theyHeard = listen(theirs);
  await once(theirs, 'message');
  assert.deepEqual(theyHeard, ['open', 'early']);
});

test('channels of both sides have numbers of their own, and negotiated ones theirs', async () => {
  const both = new Both();
  const [a, b, c] = [both.create(0, 'a'), both.create(1, 'b'), both.create(0, 'c')];
  const [mine, theirs] = [both.create(0, 'n', { negotiated: true, id: 3 }), both.create(1, 'm', { negotiated: true, id: 3 })];
  assert.equal(a.id, null);
  both.connect();
  assert.deepEqual([a.id, b.id, c.id, mine.id], [1, 0, 5, 3]);
  assert.deepEqual(both.sides.map(({ arrived }) => arrived.map(({ label }) => label)), [['b'], ['a', 'c']]);
  const heard = listen(theirs);
  mine.send('over a negotiated one');
  both.run();
  assert.deepEqual(heard, ['over a negotiated one']);
  assert.throws(() => both.create(0, 'again', { negotiated: true, id: 5 }), { name: 'OperationError' });
});

test('messages of all sizes and kinds arrive whole, in order, as they were when they were sent', async () => {
  const { both, mine, theirs } = await opened();
  const heard = listen(theirs);
  const large = Uint8Array.from({ length: MOST_MESSAGE }, (_, i) => (i * 7 + (i >> 8)) % 256);
  const expected = large.slice();
  mine.send('');
  mine.send(large);
  large.fill(0);
  mine.send('ä'.repeat(MOST_PAYLOAD));
  mine.send(new ArrayBuffer(0));
  mine.send(new DataView(expected.buffer, 5, 3));
  mine.send(new Blob([Uint8Array.of(1, 2), 'x']));
  mine.send('behind a Blob');
  both.run();
  await new Promise((done) => { setTimeout(done, 20); });
  both.run();
  assert.deepEqual(heard, ['', expected, 'ä'.repeat(MOST_PAYLOAD), new Uint8Array(), expected.slice(5, 8), Uint8Array.of(1, 2, 120), 'behind a Blob']);
});

test('`binaryType` says what bytes arrive as', async () => {
  const { both, mine, theirs } = await opened();
  const seen = [];
  theirs.onmessage = ({ data }) => seen.push(data);
  theirs.binaryType = 'nonsense';
  assert.equal(theirs.binaryType, 'arraybuffer');
  mine.send(Uint8Array.of(1));
  both.run();
  theirs.binaryType = 'blob';
  mine.send(Uint8Array.of(2));
  both.run();
  assert.deepEqual(seen.map(({ constructor }) => constructor), [ArrayBuffer, Blob]);
  assert.deepEqual(new Uint8Array(await seen[1].arrayBuffer()), Uint8Array.of(2));
});

test('`bufferedAmount` counts what has not gone to the network, shrinks in a later task, and tells when little is left', async () => {
  const both = new Both();
  both.sides[0].room = 1;
  const mine = both.create(0, 'x');
  both.connect();
  const heard = listen(mine);
  mine.bufferedAmountLowThreshold = 15;
  mine.send('0123456789');
  mine.send('0123456789');
  assert.equal(mine.bufferedAmount, 20);
  await once(mine, 'bufferedamountlow');
  assert.equal(mine.bufferedAmount, 10);
  both.run();
  assert.equal(mine.bufferedAmount, 10);
  await until('nothing to wait', () => mine.bufferedAmount === 0);
  assert.deepEqual(heard, ['bufferedamountlow']);
});

test('a channel with much to send does not keep another one waiting', async () => {
  const both = new Both();
  const [bulk, chat] = [both.create(0, 'bulk'), both.create(0, 'chat')];
  both.connect();
  both.sides[0].room = 0;
  for (let i = 0; i < 8; i += 1) bulk.send(new Uint8Array(MOST_MESSAGE));
  chat.send('hello');
  both.sides[0].room = 3;
  both.sides[0].channels.pump();
  assert.deepEqual(both.records[0].map((plain) => readRecord(plain).channel), [bulk.id, chat.id, bulk.id]);
});

test('a channel that closes sends what waits first, and both sides hear of it once', async () => {
  const { both, mine, theirs } = await opened();
  const [heard, theyHeard] = [listen(mine), listen(theirs)];
  mine.send('last words');
  mine.close();
  mine.close();
  assert.equal(mine.readyState, 'closing');
  assert.throws(() => mine.send('too late'), { name: 'InvalidStateError' });
  both.run();
  assert.deepEqual([heard, theyHeard], [['close'], ['last words', 'closing', 'close']]);
  assert.deepEqual([mine.readyState, theirs.readyState], ['closed', 'closed']);
  const next = both.create(0, 'y');
  await new Promise((done) => { setTimeout(done, 10); });
  both.run();
  assert.deepEqual([next.id, next.readyState, both.sides[1].arrived.length], [1, 'open', 2], 'its number is free again');
});

test('a channel that both sides close at once closes', async () => {
  const { both, mine, theirs } = await opened();
  const [heard, theyHeard] = [listen(mine), listen(theirs)];
  mine.close();
  theirs.close();
  both.run();
  assert.deepEqual([heard, theyHeard], [['close'], ['close']]);
});

test('a channel that closes before it opens was never there', async () => {
  const both = new Both();
  const mine = both.create(0, 'x');
  const heard = listen(mine);
  assert.throws(() => mine.send('too early'), { name: 'InvalidStateError' });
  mine.close();
  assert.equal(mine.readyState, 'closing');
  await once(mine, 'close');
  both.connect();
  assert.deepEqual([heard, both.sides[1].arrived], [['close'], []]);
});

test('an error of the connection reaches each channel as `closing`, `error` and `close`', async () => {
  const both = new Both();
  const mine = both.create(0, 'x');
  both.connect();
  const heard = listen(mine);
  both.sides[0].channels.end({ error: new Error('cut') });
  assert.deepEqual([heard, mine.readyState], [['closing', 'error', 'close'], 'closed']);
});

/** The bytes that a page keeps for the other side, which sends these records until one is refused. */
function keptOf(recordOf) {
  const [, { channels, arrived }] = new Both().connect().sides;
  const used = () => {
    // The second one frees the bytes of arrays.
    gc();
    gc();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = used();
  let [error, sent] = [/** @type {Error | undefined} */ (undefined), 0];
  for (let i = 0; i < 100_000 && sent < 4 * MOST_KEPT && !error; i += 1) {
    const record = recordOf(i);
    sent += record.length;
    try {
      channels.receive(readRecord(record));
    } catch (refused) {
      error = refused;
    }
  }
  return { bytes: used() - before, error, channels, arrived };
}

const opening = toUtf8('{"label":"x"}');
const large = new Uint8Array(MOST_PAYLOAD);
const full = toUtf8(JSON.stringify({ label: 'x'.repeat(65_000) }));

/** @type {Record<string, (i: number) => Uint8Array>} */
const HOARDS = {
  'messages without an end': (i) => (i < 100 ? writeRecord(OPEN, 2 * i + 1, opening) : writeRecord(PART, 2 * (i % 100) + 1, large)),
  'channels that do not open': (i) => writeRecord(PART, 2 * (i % 1_000) + 1, large),
  'channels': (i) => writeRecord(OPEN, 2 * i + 1, opening),
  'channels with long labels': (i) => writeRecord(OPEN, 2 * i + 1, full),
  'messages for a page that has not heard of the channel': (i) => writeRecord(i === 0 ? OPEN : BINARY, 1, i === 0 ? opening : large),
};

for (const [name, recordOf] of Object.entries(HOARDS)) {
  test(`a page keeps at most 16 MiB of ${name}`, () => {
    const { bytes, error } = keptOf(recordOf);
    assert.match(error?.message, /has sent more than 16777216 bytes that have to be kept/);
    assert.ok(bytes < MOST_KEPT + 2 * 1_048_576, `${bytes}`);
  });
}

test('parts without bytes cost nothing', () => {
  const { bytes, error, channels, arrived } = keptOf(() => writeRecord(PART, 1));
  assert.equal(error, undefined);
  assert.ok(bytes < 1_048_576, `${bytes}`);
  channels.receive(readRecord(writeRecord(OPEN, 1, opening)));
  assert.equal(arrived[0].label, 'x');
});

test('a channel that is over, and a message that is whole, give back what they cost', async () => {
  const [, { channels }] = new Both().connect().sides;
  const life = [writeRecord(OPEN, 1, opening), writeRecord(PART, 1, large), writeRecord(TEXT, 1), writeRecord(CLOSE, 1)];
  for (let i = 0; i < 4_100; i += 1) {
    for (const record of life) channels.receive(readRecord(record));
    // The page hears of it in another task.
    await new Promise((later) => { nextTask(() => later(undefined)); });
  }
  assert.deepEqual(channels.counts, { opened: 4_100, closed: 4_100 });
});

test('256 channels carry messages beside each other', async () => {
  const both = new Both();
  const mine = Array.from({ length: 256 }, (_, i) => both.create(i % 2, `${i}`));
  both.connect();
  const arrived = [...both.sides[0].arrived, ...both.sides[1].arrived];
  await Promise.all(arrived.map((channel) => once(channel, 'open')));
  const heard = new Map(arrived.map((channel) => [channel.label, listen(channel)]));
  for (const round of [1, 2, 3]) for (const channel of mine) channel.send(`${channel.label} ${round}`);
  both.run();
  assert.equal(heard.size, 256);
  for (const [label, texts] of heard) assert.deepEqual(texts, [1, 2, 3].map((round) => `${label} ${round}`));
});

test('what a page asks for wrongly is the error of browsers', () => {
  const wrong = [
    ['x', { maxRetransmits: 1, maxPacketLifeTime: 1 }], ['x', { negotiated: true }], ['x', { negotiated: true, id: 65_535 }],
    ['x', { negotiated: true, id: -1 }], ['x', { maxRetransmits: 65_536 }], ['ä'.repeat(32_768)], ['x', { protocol: 'y'.repeat(65_536) }],
  ];
  for (const [label, options] of wrong) assert.throws(() => readOptions(label, options), TypeError, JSON.stringify(options));
  const odd = readOptions('\ud800', { id: 5, protocol: null });
  assert.deepEqual([odd.label, odd.id, odd.protocol], ['\ufffd', null, 'null']);

  const both = new Both();
  const mine = both.create(0, 'x');
  both.connect();
  assert.throws(() => mine.send(new Uint8Array(MOST_MESSAGE + 1)), TypeError);
  both.sides[0].room = 0;
  for (let i = 0; i < 64; i += 1) mine.send(new Uint8Array(MOST_MESSAGE));
  assert.throws(() => mine.send('more'), { name: 'OperationError' });
});

test('records that no page sends are errors', () => {
  const open = toUtf8(JSON.stringify({ label: 'x', protocol: '', ordered: true }));
  const wrong = {
    'a kind that is none': [writeRecord(9, 0)],
    'the kind that once was': [writeRecord(2, 0)],
    'an OPEN twice': [writeRecord(OPEN, 0, open), writeRecord(OPEN, 0, open)],
    'an OPEN of 65,535': [writeRecord(OPEN, 65_535, open)],
    'an OPEN that is no JSON': [writeRecord(OPEN, 0, toUtf8('{'))],
    'an OPEN of null': [writeRecord(OPEN, 0, toUtf8('null'))],
    'an OPEN with a wrong number': [writeRecord(OPEN, 0, toUtf8('{"label":"x","maxRetransmits":-1}'))],
    'text that is none': [writeRecord(OPEN, 0, open), writeRecord(TEXT, 0, Uint8Array.of(255))],
    'a message behind a close': [writeRecord(OPEN, 0, open), writeRecord(CLOSE, 0), writeRecord(TEXT, 0)],
    'a message that is too large': [writeRecord(OPEN, 0, open), ...Array(4).fill(writeRecord(PART, 0, new Uint8Array(MOST_PAYLOAD))), writeRecord(BINARY, 0, new Uint8Array(2000))],
  };
  for (const [name, records] of Object.entries(wrong)) {
    const both = new Both().connect();
    // Otherwise the answer to a close would be on its way at once.
    both.sides[1].room = 0;
    assert.throws(() => records.forEach((plain) => both.sides[1].channels.receive(readRecord(plain))), undefined, name);
  }
});
