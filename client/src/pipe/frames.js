// The frames of a pipe, and the records that are sealed in them.

import { TAG_BYTES } from './sealing.js';

/** Types of frames: the next record that this end expects; a record; the same as the first, and the other end has to answer. */
export const NEXT = 0;
export const RECORD = 1;
export const PING = 2;

/** Kinds of records. */
export const DECISION = 0;
export const OPEN = 1;
export const TEXT = 3;
export const BINARY = 4;
/** A part of an OPEN, TEXT or BINARY that goes on. */
export const PART = 5;
export const CLOSE = 6;
export const END = 7;

const HEADER_BYTES = 9;
const NEXT_BYTES = 13;
const RECORD_HEAD = 3;

/** The largest frame, and the most bytes of a message that one has. */
export const MOST_FRAME = 65_536;
export const MOST_PAYLOAD = MOST_FRAME - HEADER_BYTES - TAG_BYTES - RECORD_HEAD;

/** The other end, or the broker, has broken the rules of a pipe. */
export class PipeError extends Error {
  name = 'PipeError';
}

const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

// Numbers of JavaScript are exact up to 2⁵³: at 100,000 records a second, that lasts 2,800 years.
function writeCounter(view, at, counter) {
  view.setUint32(at, Math.floor(counter / 2 ** 32));
  view.setUint32(at + 4, counter % 2 ** 32);
}

const readCounter = (view, at) => view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);

/** A NEXT or PING of this turn: the number that the broker's latest OPEN has. */
export function nextFrame(type, turn, next) {
  const bytes = new Uint8Array(NEXT_BYTES);
  const view = viewOf(bytes);
  view.setUint8(0, type);
  view.setUint32(1, turn);
  writeCounter(view, 5, next);
  return bytes;
}

/** The first bytes of a record, which its seal covers. */
export function headerOf(counter) {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = viewOf(bytes);
  view.setUint8(0, RECORD);
  writeCounter(view, 1, counter);
  return bytes;
}

/** `{ type, turn, next }`, or of a record `{ type, counter, header, sealed }`. @returns {any} */
export function readFrame(bytes) {
  const view = viewOf(bytes);
  const type = bytes[0];
  if ((type === NEXT || type === PING) && bytes.length === NEXT_BYTES) {
    return { type, turn: view.getUint32(1), next: readCounter(view, 5) };
  }
  if (type === RECORD && bytes.length >= HEADER_BYTES + TAG_BYTES + RECORD_HEAD && bytes.length <= MOST_FRAME) {
    // A copy, because noble takes aligned bytes twice as fast.
    return { type, counter: readCounter(view, 1), header: bytes.subarray(0, HEADER_BYTES), sealed: bytes.slice(HEADER_BYTES) };
  }
  throw new PipeError(`a frame of type ${type} with ${bytes.length} bytes is none of a pipe`);
}

/** A record before it is sealed. @param {Uint8Array} payload */
export function writeRecord(kind, channel, payload = new Uint8Array()) {
  const plain = new Uint8Array(RECORD_HEAD + payload.length);
  const view = viewOf(plain);
  view.setUint8(0, kind);
  view.setUint16(1, channel);
  plain.set(payload, RECORD_HEAD);
  return plain;
}

export function readRecord(plain) {
  return { kind: plain[0], channel: viewOf(plain).getUint16(1), payload: plain.subarray(RECORD_HEAD) };
}
