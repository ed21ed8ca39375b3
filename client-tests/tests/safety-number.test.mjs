// The safety number of a connection: the same at both ends, another one if somebody stands between them.

import assert from 'node:assert/strict';
import { pbkdf2Sync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { Exchange, safetyNumber } from '../../client/src/safety-number.js';
import { startManInTheMiddle } from '../lib/man-in-the-middle.mjs';
import { returning as onStage } from '../lib/returning.mjs';

const NUMBER = /^\d{4} \d{4} \d{4}$/;
const number = (page, from, to, type = 'data') => page.ask('number', { from, to, type });

/** The number of the protocol, by Node's own functions: of these digits. */
function derived(text, digits = 12) {
  const bytes = pbkdf2Sync(text, 'peerbroker safety number 1', 200_000, 24, 'sha256');
  const [first, more] = [bytes.readBigUInt64BE() % 10n ** 12n, BigInt(`0x${bytes.subarray(8).toString('hex')}`) % 10n ** 20n];
  return `${String(first).padStart(12, '0')}${String(more).padStart(20, '0')}`.slice(0, digits).match(/.{4}/g).join(' ');
}

/** A connection with these fingerprints in its descriptions. */
const fake = (...fingerprints) => {
  const [local, remote] = fingerprints.map((lines) => ({ sdp: ['v=0', ...lines.map((line) => `a=fingerprint:${line}`), ''].join('\r\n') }));
  return Object.assign(new EventTarget(), { connectionState: 'connected', currentLocalDescription: local, currentRemoteDescription: remote });
};

test('the number is the one of the protocol, from both ends, however a browser writes its fingerprints', async () => {
  const expected = derived('sha-256 00:0A\nsha-256 01:0B', 32);

  assert.equal(await safetyNumber(fake(['sha-256 00:0A'], ['sha-256 01:0B'])), expected);
  assert.equal(await safetyNumber(fake(['SHA-256 01:0b', 'sha-256 01:0B'], ['sha-256 00:0a'])), expected);
  assert.notEqual(await safetyNumber(fake(['sha-256 00:0A'], ['sha-256 01:0B', 'sha-256 02:0C'])), expected);
  const protocol = readFileSync(resolve(import.meta.dirname, '../../docs/PROTOCOL.md'), 'utf8');
  assert.ok(protocol.includes(`\`${expected}\``), expected);
});

test('over a pipe, the number is of its keys', async () => {
  const keys = [1, 2].map((byte) => new Uint8Array(32).fill(byte));
  const connection = Object.assign(fake(['sha-256 00'], ['sha-256 01']), { [Symbol.for('peerbroker.pipeKeys')]: keys });
  const texts = keys.map((key) => `pipe ${Buffer.from(key).toString('base64url')}`);

  assert.equal(await safetyNumber(connection), derived(texts.join('\n'), 32));
});

const [CALLER, OTHER, MALLORY] = ['sha-256 00:0A', 'sha-256 01:0B', 'sha-256 02:0C'];
const sdpOf = (fingerprint) => `v=0\r\na=fingerprint:${fingerprint}\r\n`;

/** Both sides of an exchange, up to the answer. */
async function exchange() {
  const [caller, other] = [new Exchange(), new Exchange()];
  const answer = other.offered(await caller.commitment(), sdpOf(CALLER));
  return { caller, other, answer, opening: caller.answered(answer, sdpOf(OTHER)) };
}

test('of two pages that have exchanged nonces it has twelve digits, and the nonces are in it', async () => {
  const { caller, other, answer, opening } = await exchange();
  other.opened(opening);
  const expected = derived([CALLER, OTHER, opening, answer].join('\n'));

  assert.equal(await safetyNumber(fake([CALLER], [OTHER]), caller), expected);
  assert.equal(await safetyNumber(fake([OTHER], [CALLER]), other), expected);
});

test('a side that has heard the nonce of the other can change nothing any more', async () => {
  const { caller, other, opening } = await exchange();
  assert.equal(caller.answered('another nonce', sdpOf(MALLORY)), undefined);
  assert.equal(other.offered('another commitment', sdpOf(MALLORY)), undefined);
  other.opened('another nonce');
  other.opened(opening);

  await assert.rejects(safetyNumber(fake([OTHER], [CALLER]), other), /has not kept to its word/);
  await assert.rejects(safetyNumber(fake([CALLER], [MALLORY]), caller), /has changed its key/);
});

test('the number of a page that takes no part in the exchange has 32 digits, of which an older page shows twelve', async () => {
  const [page, old] = [new Exchange(), derived([CALLER, OTHER].join('\n'))];
  assert.equal(page.answered(undefined, sdpOf(OTHER)), undefined);
  const number = await safetyNumber(fake([CALLER], [OTHER]), page);

  assert.match(number, /^(\d{4} ){7}\d{4}$/);
  assert.ok(number.startsWith(old));
});

test('there is none before a connection, and of one that has failed', async () => {
  const connection = fake(['sha-256 00'], ['sha-256 01']);
  connection.connectionState = 'connecting';
  const asked = safetyNumber(connection);
  connection.connectionState = 'failed';
  connection.dispatchEvent(new Event('connectionstatechange'));

  await assert.rejects(asked, /There is no safety number: the connection is failed/);
});

/** The pages of alice and bob, with a data connection that works. */
async function pair(stage, kinds, options = undefined) {
  const [alice, bob] = [await stage.page(kinds[0]), await stage.page(kinds[1])];
  await stage.opens(bob, { id: 'bob', options });
  await stage.opens(alice, { id: 'alice', options });
  return { alice, bob };
}

const PAIRS = {
  'WebRTC': ['', ''],
  'a pipe, without WebRTC': ['none.html', 'none.html'],
  'a pipe, with WebRTC at one end': ['none.html', ''],
};

for (const browser of ['chromium', 'firefox']) {
  for (const [way, kinds] of Object.entries(PAIRS)) {
    safety(`both ends have the same number over ${way}`, browser, async (stage) => {
      const { alice, bob } = await pair(stage, kinds);
      const line = await alice.ask('connect', { from: 'alice', to: 'bob' });

      const numbers = [await number(alice, 'alice', 'bob'), await number(bob, 'bob', 'alice')];

      assert.match(numbers[0], NUMBER);
      assert.equal(numbers[0], numbers[1]);
      const [ours, theirs] = [await alice.ask('pipeKeys', { from: 'alice', to: 'bob' }), await bob.ask('pipeKeys', { from: 'bob', to: 'alice' })];
      assert.deepEqual(ours?.toReversed(), theirs);
      assert.equal(Boolean(ours), way !== 'WebRTC');
      assert.equal(await alice.ask('echo', { number: line, value: 'there' }), 'there');
    });

    safety(`the numbers differ if the broker stands between over ${way}`, browser, async (stage) => {
      const broker = await stage.keep('proxies', startManInTheMiddle(stage.port));
      const mallory = await stage.page(kinds[1]);
      await mallory.ask('makeMallory');
      await mallory.next('mallory open');
      const { alice, bob } = await pair(stage, kinds, { port: broker.port });
      const line = await alice.ask('connect', { from: 'alice', to: 'bob' });

      // Neither of them notices anything else.
      assert.equal(await alice.ask('echo', { number: line, value: 'nobody hears this' }), 'nobody hears this');
      assert.deepEqual(await mallory.ask('details', 'overheard'), ['nobody hears this', 'nobody hears this']);
      const numbers = [await number(alice, 'alice', 'bob'), await number(bob, 'bob', 'alice')];

      assert.match(numbers[0], NUMBER);
      assert.match(numbers[1], NUMBER);
      assert.notEqual(numbers[0], numbers[1]);
    });
  }

  safety('a connection that is closed has none, and says so', browser, async (stage) => {
    const { alice } = await pair(stage, ['', '']);
    await alice.ask('connect', { from: 'alice', to: 'bob' });
    assert.match(await alice.ask('numberOfClosed', { from: 'alice', to: 'bob' }), /There is no safety number: .* closed/);
  });

  safety('a call has one too, and asks of it early wait', browser, async (stage) => {
    const { alice, bob } = await pair(stage, ['', '']);
    const early = alice.ask('callAndAsk', { from: 'alice', to: 'bob' });
    const numbers = [await early, await number(bob, 'bob', 'alice', 'media')];

    assert.match(numbers[0], NUMBER);
    assert.equal(numbers[0], numbers[1]);
  });
}

function safety(behaviour, browser, run) {
  onStage(`${behaviour} (${browser})`, browser, async (stage) => {
    await stage.start();
    await run(stage);
  });
}
