// The safety number of a connection: the same at both ends, another one if somebody stands between them.

import assert from 'node:assert/strict';
import { pbkdf2Sync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { safetyNumber } from '../../static/safety-number.js';
import { startManInTheMiddle } from '../lib/man-in-the-middle.mjs';
import { returning as onStage } from '../lib/returning.mjs';

const NUMBER = /^\d{4} \d{4} \d{4}$/;
const number = (page, from, to, type = 'data') => page.ask('number', { from, to, type });

/** The number of the protocol, by Node's own functions. */
function derived(text) {
  const bytes = pbkdf2Sync(text, 'peerbroker safety number 1', 200_000, 8, 'sha256');
  return String(bytes.readBigUInt64BE() % 10n ** 12n).padStart(12, '0').match(/.{4}/g).join(' ');
}

/** A connection with these fingerprints in its descriptions. */
const fake = (...fingerprints) => {
  const [local, remote] = fingerprints.map((lines) => ({ sdp: ['v=0', ...lines.map((line) => `a=fingerprint:${line}`), ''].join('\r\n') }));
  return Object.assign(new EventTarget(), { connectionState: 'connected', currentLocalDescription: local, currentRemoteDescription: remote });
};

test('the number is the one of the protocol, from both ends, however a browser writes its fingerprints', async () => {
  const expected = derived('sha-256 00:0A\nsha-256 01:0B');

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

  assert.equal(await safetyNumber(connection), derived(texts.join('\n')));
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
      const broker = await startManInTheMiddle(stage.port);
      stage.proxies.push(broker);
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
