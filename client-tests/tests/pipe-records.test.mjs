// webrtc.js below its channels: the line of a description, keys, frames, and records that survive lost sockets.

import assert from 'node:assert/strict';
import { createCipheriv, createPrivateKey, createPublicKey, diffieHellman, hkdfSync, createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Receiver, Sender, WINDOW } from '../../client/src/pipe/ordered-records.js';
import { BINARY, MOST_FRAME, MOST_PAYLOAD, NEXT, PING, PipeError, TEXT, nextFrame, readFrame, readRecord, writeRecord } from '../../client/src/pipe/frames.js';
import { source } from '../../client/src/pipe/engine.js';
import { currentKeys, prepareKeys, startKeys } from '../../client/src/pipe/prepared-keys.js';
import { deriveKeys, keyPair } from '../../client/src/pipe/sealing.js';
import { readLine, withLine, withoutLine, writeLine } from '../../client/src/pipe/sdp-line.js';
import { until } from '../lib/within.mjs';

const vectors = JSON.parse(await readFile(join(import.meta.dirname, '../../tests/fixtures/pipe.json'), 'utf8'));
const bytes = (hex) => new Uint8Array(Buffer.from(hex, 'hex'));
const hex = (data) => Buffer.from(data).toString('hex');
const side = ({ id, privateKey, publicKey }) => ({ id: bytes(id), secret: bytes(privateKey), key: bytes(publicKey) });

const SDP = 'v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n';

test('a description carries one line of its page, in the part of the session', () => {
  const { line } = vectors.offerer;
  const with1 = withLine(SDP, line);
  assert.equal(with1, SDP.replace('m=application', `${line}\r\nm=application`));
  assert.equal(withLine(with1, line), with1);
  assert.equal(withoutLine(with1), SDP);
  assert.deepEqual(readLine(with1), { id: bytes(vectors.offerer.id), key: bytes(vectors.offerer.publicKey), isOnly: false });
  assert.equal(readLine(withLine(SDP, vectors.answerer.line)).isOnly, true);
  assert.equal(readLine(with1.replaceAll('\r', ''))?.isOnly, false, 'libraries may have changed the ends of lines');
});

test('a line is none if it is cut, of another version, or of one section', () => {
  const { line } = vectors.offerer;
  for (const wrong of [line.slice(0, -1), line.replace('pipe:1', 'pipe:2'), `${line} `, `${line} more`, `x${line}`]) {
    assert.equal(readLine(withLine(SDP, wrong)), null, wrong);
  }
  assert.equal(readLine(SDP), null);
  assert.equal(readLine(`${SDP}${line}\r\n`), null);
});

test('keys and sealed records are the ones of the vectors, by another library too', () => {
  const [offer, answer] = [side(vectors.offerer), side(vectors.answerer)];
  const ofOffer = deriveKeys(offer.secret, answer.key, offer, answer);
  assert.deepEqual(deriveKeys(answer.secret, offer.key, offer, answer), ofOffer);

  const shared = diffieHellman({ privateKey: privateKey(offer.secret), publicKey: publicKey(answer.key) });
  const salt = createHash('sha256').update(offer.id).update(answer.id).update(offer.key).update(answer.key).digest();
  for (const [name, vector] of Object.entries({ offerer: vectors.offerer, answerer: vectors.answerer })) {
    assert.equal(hex(keyPair(bytes(vector.privateKey)).key), vector.publicKey);
    assert.equal(hex(ofOffer[name]), vector.key);
    assert.equal(hex(new Uint8Array(hkdfSync('sha256', shared, salt, `peerbroker pipe 1 ${name}`, 32))), vector.key);
    assert.equal(writeLine({ ...side(vector), isOnly: name === 'answerer' }), vector.line);
    const sender = new Sender(bytes(vector.key));
    const receiver = new Receiver(bytes(vector.key));
    vector.frames.forEach(({ plain, frame }, counter) => {
      assert.equal(hex(sender.seal(bytes(plain))), frame);
      assert.equal(hex(receiver.open(readFrame(bytes(frame)))), plain);
      assert.equal(byNode(bytes(vector.key), counter, bytes(plain)), frame);
    });
  }
});

function byNode(key, counter, plain) {
  const header = Buffer.alloc(9);
  header[0] = 1;
  header.writeBigUInt64BE(BigInt(counter), 1);
  const nonce = Buffer.concat([Buffer.alloc(4), header.subarray(1)]);
  const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
  cipher.setAAD(header, { plaintextLength: plain.length });
  return hex(Buffer.concat([header, cipher.update(plain), cipher.final(), cipher.getAuthTag()]));
}

startKeys(source);

const base64Url = (data) => Buffer.from(data).toString('base64url');
const publicKey = (key) => createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: base64Url(key) }, format: 'jwk' });
const privateKey = (secret) => createPrivateKey({
  key: { kty: 'OKP', crv: 'X25519', d: base64Url(secret), x: base64Url(keyPair(secret).key) }, format: 'jwk',
});

test('pairs of the browser and of the page are of the same kind', async (t) => {
  await prepareKeys();
  const ofBrowser = currentKeys();
  assert.deepEqual(keyPair(ofBrowser.secret), ofBrowser);
  const { generateKey } = crypto.subtle;
  t.mock.method(crypto.subtle, 'generateKey', (kind, ...more) => (kind.name === 'X25519'
    ? Promise.reject(new DOMException('no X25519', 'NotSupportedError'))
    : generateKey.call(crypto.subtle, kind, ...more)));
  await prepareKeys();
  const ofPage = currentKeys();
  assert.notDeepEqual(ofPage, ofBrowser);
  assert.deepEqual(keyPair(ofPage.secret), ofPage);
});

test('connections that begin together share a pair but no key, and later ones have another pair', async (t) => {
  await prepareKeys();
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const pair = currentKeys();
  assert.equal(currentKeys(), pair);
  const other = keyPair();
  const keysOf = (id) => deriveKeys(pair.secret, other.key, { id: new Uint8Array(16).fill(id), key: pair.key }, { id: new Uint8Array(16), key: other.key });
  assert.notDeepEqual(keysOf(1), keysOf(2));
  t.mock.timers.tick(1_000);
  t.mock.timers.reset();
  await until('another pair', () => currentKeys() !== pair);
});

test('a public key that makes every secret the same is refused', () => {
  const [offer, answer] = [side(vectors.offerer), side(vectors.answerer)];
  assert.throws(() => deriveKeys(offer.secret, new Uint8Array(32), offer, answer));
});

test('frames are read as they are written', () => {
  for (const { turn, next, frame } of vectors.next) {
    assert.equal(hex(nextFrame(NEXT, turn, next)), frame);
    assert.deepEqual(readFrame(bytes(frame)), { type: NEXT, turn, next });
  }
  for (const { turn, next, frame } of vectors.ping) assert.deepEqual(readFrame(bytes(frame)), { type: PING, turn, next });
  const record = readRecord(writeRecord(BINARY, 65_534, Uint8Array.of(1, 2)));
  assert.deepEqual(record, { kind: BINARY, channel: 65_534, payload: Uint8Array.of(1, 2) });
  const largest = new Sender(bytes(vectors.offerer.key)).seal(writeRecord(TEXT, 0, new Uint8Array(MOST_PAYLOAD)));
  assert.equal(largest.length, MOST_FRAME);
});

test('a frame that is none of a pipe is an error', () => {
  const good = bytes(vectors.offerer.frames[0].frame);
  const wrong = [[], [0], [3, 1, 2], [...bytes(vectors.next[0].frame), 0], good.subarray(0, 27), new Uint8Array(MOST_FRAME + 1).fill(1)];
  for (const frame of wrong) assert.throws(() => readFrame(Uint8Array.from(frame)), PipeError, `${frame.length} bytes`);
});

test('a record that is changed, cut, repeated, left out or of another direction is an error, and the next one still opens', () => {
  const key = bytes(vectors.offerer.key);
  const [first, second] = vectors.offerer.frames.map(({ frame }) => bytes(frame));
  const attempt = (frames) => {
    const receiver = new Receiver(key);
    return () => frames.forEach((frame) => receiver.open(readFrame(Uint8Array.from(frame))));
  };
  for (let at = 0; at < first.length; at += 1) {
    const changed = first.slice();
    changed[at] ^= 1;
    assert.throws(attempt([changed]), undefined, `byte ${at}`);
  }
  assert.throws(attempt([first.subarray(0, -1)]), PipeError);
  assert.throws(attempt([first, first]), PipeError);
  assert.throws(attempt([second]), PipeError);
  assert.throws(attempt([bytes(vectors.answerer.frames[0].frame)]), PipeError);
  attempt([first, second])();
});

test('a sender keeps what is not acknowledged, says it again from there, and is full at the window', () => {
  const key = bytes(vectors.offerer.key);
  const sender = new Sender(key);
  const frames = [0, 1, 2, 3].map((i) => sender.seal(writeRecord(TEXT, 0, Uint8Array.of(i))));
  sender.acknowledge(0);
  assert.deepEqual(sender.unacknowledged, frames);
  sender.acknowledge(3);
  assert.deepEqual(sender.unacknowledged, [frames[3]]);
  assert.throws(() => sender.acknowledge(2), PipeError);
  assert.throws(() => sender.acknowledge(5), PipeError);

  let sent = frames[3].length;
  while (sender.hasRoom) {
    sender.seal(writeRecord(BINARY, 0, new Uint8Array(MOST_PAYLOAD)));
    sent += MOST_FRAME;
  }
  assert.ok(sent <= WINDOW, `${sent} bytes are kept`);
  sender.acknowledge(6);
  assert.equal(sender.hasRoom, true);
});
