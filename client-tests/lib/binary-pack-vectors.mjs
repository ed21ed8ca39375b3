// Writes crates/peer/tests/binary_pack.json: values, and the messages that PeerJS 1.5.5 sends for them.
//
//     npm run fetch && node lib/binary-pack-vectors.mjs > ../crates/serialization/tests/binary_pack.json
//
// Values that JSON lacks, and objects, whose order counts, are objects with one member: `{"$bytes": …}` and the like. Bytes are runs:
// `00*3 ff` are three zeros and 255.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

// The zone of a `Date`.
process.env.TZ = 'UTC';
// A script of pages, which sets `window.peerjs`.
Object.assign(globalThis, { window: globalThis });
(0, eval)(readFileSync(join(import.meta.dirname, '../clients/1.5.5/peerjs.min.js'), 'utf8'));
const { util } = peerjs;

const numbers = [
  0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 2 ** 62, 2 ** 63 + 2048, 2 ** 64 - 2048,
  -1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31),
  0.5, -0.5, 1.5, 0.1, 1 / 3, -Math.PI, 123_456.789, 1e-7, 5e-300, 2 ** -1022, 0.1 + 0.2,
];
const texts = ['', 'a', 'a'.repeat(15), 'a'.repeat(16), 'a'.repeat(65_535), 'a'.repeat(65_536), 'é', '€', '😀', 'é'.repeat(8), '\0"\\\n', '\u{10ffff}'];
const bytes = [0, 1, 15, 16, 255, 65_535, 65_536].map((length) => new Uint8Array(length).fill(7));
const members = (count) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`m${n}`, n]));
const values = [
  null, true, false, undefined, NaN, ...numbers, ...texts, ...bytes,
  new Uint16Array([1, 0x0203]), new Uint8Array([1, 2, 3, 4]).subarray(1, 3), new Float64Array([1.5]).buffer, new Date(0),
  [], [1], new Array(15).fill(null), new Array(16).fill(null), new Array(256).fill(true), [[[]], [1, [2, [3]]]], [undefined, NaN, 'x'],
  {}, { a: 1 }, { '': null, 'ключ': 'значение', nested: { list: [{ deep: new Uint8Array([255]) }] } }, { gone: undefined },
  members(15), members(16), { __peerData: { type: 'close' } },
];
// A packed value of this length goes in one message, a longer one in chunks.
const lengths = [16_297, 16_298, 40_000];

const about = 'Values, and the messages that PeerJS 1.5.5 sends for them, by client-tests/lib/binary-pack-vectors.mjs';
const vectors = values.map((value) => ({ value: described(value), packed: runs(util.pack(value)) }));
const chunked = lengths.map((length) => {
  const packed = util.pack(new Uint8Array(length).fill(7));
  const messages = packed.byteLength > util.chunkedMTU ? util.chunk(packed).map((chunk) => util.pack(chunk)) : [packed];
  return { length, messages: messages.map(runs) };
});
const rows = (list) => list.map((row) => `\n    ${JSON.stringify(row)}`).join(',');
console.log(`{\n  "about": ${JSON.stringify(about)},\n  "vectors": [${rows(vectors)}\n  ],\n  "chunked": [${rows(chunked)}\n  ]\n}`);

function described(value) {
  if (value === undefined) return { $undefined: true };
  if (Number.isNaN(value)) return { $nan: true };
  if (value instanceof Date) return String(value);
  if (value instanceof ArrayBuffer) return { $bytes: runs(value) };
  if (ArrayBuffer.isView(value)) return { $bytes: runs(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength)) };
  if (typeof value === 'string' && value.length > 100) return { $text: runs(new TextEncoder().encode(value)) };
  if (Array.isArray(value)) return value.map(described);
  if (value === null || typeof value !== 'object') return value;
  return { $object: Object.entries(value).map(([name, member]) => [name, described(member)]) };
}

function runs(buffer) {
  const hex = Buffer.from(buffer).toString('hex');
  return hex.replace(/(..)\1*/g, (run, byte) => ` ${byte}${run.length > 2 ? `*${run.length / 2}` : ''}`).trim();
}
