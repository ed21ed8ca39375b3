// The options of `createDataChannel`, and how much a channel keeps.

import { fromUtf8, toUtf8 } from './bytes.js';

/** Most bytes that the other side can make this page keep, with what objects cost beside their bytes. */
export const MOST_KEPT = 16 * 1_048_576;
export const COST = 512;

/** Numbers of channels, as in SCTP. 65,535 is none. */
export const NUMBERS = 65_535;

/**
 * The options of `createDataChannel`, as W3C's "create a data channel" checks it.
 * @param {any} options
 */
export function readOptions(label, options = {}) {
  const number = (name) => (options?.[name] === undefined || options[name] === null ? null : toUnsignedShort(name, options[name]));
  const read = {
    label: toScalars(label),
    protocol: toScalars(options?.protocol === undefined ? '' : options.protocol),
    ordered: options?.ordered === undefined ? true : Boolean(options.ordered),
    maxRetransmits: number('maxRetransmits'),
    maxPacketLifeTime: number('maxPacketLifeTime'),
    negotiated: Boolean(options?.negotiated),
    id: number('id'),
  };
  if (toUtf8(read.label).length > NUMBERS) throw new TypeError('The label has more than 65535 bytes');
  if (toUtf8(read.protocol).length > NUMBERS) throw new TypeError('The protocol has more than 65535 bytes');
  if (read.maxRetransmits !== null && read.maxPacketLifeTime !== null) {
    throw new TypeError('A channel has maxRetransmits or maxPacketLifeTime, not both');
  }
  if (!read.negotiated) read.id = null;
  else if (read.id === null) throw new TypeError('A negotiated channel needs an id');
  else if (read.id === NUMBERS) throw new TypeError('65535 is no id of a channel');
  return read;
}

/** A string of Unicode scalar values, as Web IDL's USVString. */
const toScalars = (value) => fromUtf8(toUtf8(String(value)));

function toUnsignedShort(name, value) {
  const number = Math.trunc(Number(value));
  if (!(number >= 0 && number <= NUMBERS)) throw new TypeError(`${name} is a number from 0 to 65535, not ${value}`);
  return number;
}
