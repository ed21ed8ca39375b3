// Numbers and reasons for people.

import { REASONS } from './shared/connection-words.js';

const number = new Intl.NumberFormat('en');
const short = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

export const count = (value) => number.format(value);

/** Words with a capital at their beginning. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A rate: whole above ten, with one digit below. */
export const rate = (value) => (value >= 10 ? number.format(Math.round(value)) : short.format(value));

export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

export function bytes(value) {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : short.format(value)} ${units[unit]}`;
}

/** Seconds as their one or two largest units: `3 h 12 min`. */
export function duration(seconds) {
  /** @type {[string, number][]} */
  const units = [['d', 86_400], ['h', 3_600], ['min', 60], ['s', 1]];
  const at = units.findIndex(([, size]) => seconds >= size);
  if (at < 0) return '0 s';
  const [unit, size] = units[at];
  const first = `${Math.floor(seconds / size)} ${unit}`;
  const next = units[at + 1];
  const rest = next && Math.floor((seconds % size) / next[1]);
  return rest ? `${first} ${rest} ${next[0]}` : first;
}

export function ago(seconds) {
  return seconds < 5 ? 'just now' : `${duration(Math.floor(seconds)).split(' ').slice(0, 2).join(' ')} ago`;
}

/** A second since 1970, as a date of this browser. */
export const date = (seconds) => new Date(seconds * 1000).toLocaleString();

/** Why connections end, by their labels. */
const CLOSED = {
  left: 'left',
  replaced: 'reconnected, so its old connection ended',
  evicted: 'did not answer, and another client took its id',
  timed_out: 'fell silent',
  slow_reader: 'did not read what was sent to it',
  key_revoked: 'was closed: its key was disabled or removed',
  kicked: 'was kicked',
  outranked: 'lost its id to a client of another node',
  shutdown: 'was closed: the server stops',
  protocol_error: 'broke the WebSocket protocol',
  not_utf8: 'sent a text that is not UTF-8',
  too_big: 'sent a message that is too long',
  try_again_later: 'was closed: too many unfinished messages',
  room_full: 'was closed: its room is full',
  banned: 'was closed: its address is banned',
  no_place: 'was closed: no node gave it a place in a group',
  wrong_message: 'sent a message that its protocol does not have',
  pipe_alone: 'waited for the other end of its pipe, which did not come',
  pipe_left: 'was closed: the other end of its pipe has left',
  pipe_stalled: 'was closed: an end of its pipe did not read',
  pipe_broken: 'was closed: its end of a pipe fell silent, or got half a message',
  pipes_off: 'was closed: pipes were turned off',
};

/** Why clients are refused, by their labels. */
const REFUSED = {
  incomplete: 'it sent no key, id or token',
  invalid_id: 'its id is not valid',
  invalid_token: 'its token is not valid',
  malformed_key: 'its key is not valid as a text',
  invalid_key: 'there is no such key, or it is disabled',
  foreign_origin: 'its page may not use the key',
  token_refused: 'it did not prove that the id is its own',
  token_expired: 'its token has expired',
  id_taken: 'another client has this id',
  elsewhere: 'it has a WebSocket already',
  gone: 'it left before it got an id',
  limit_reached: 'the key has reached its client limit',
  unavailable: 'a store or a webhook gave no answer',
  banned: 'its address is banned',
  too_many_connections: 'its address has too many connections',
  wrong_path: 'it used a wrong path',
  peerjs_off: 'PeerJS is off',
  pipes_off: 'pipes are off',
  invalid_pipe: 'the id of its pipe is not valid',
  pipe_taken: 'its pipe has two other ends',
  too_many_pipes: 'a limit of pipes is reached',
  closing: 'the server stops',
};

/** Why calls fail, by their labels. */
const CALL_FAILED = {
  caller_absent: 'the caller did not reach the relay',
  callee_absent: 'the callee did not reach the relay',
  both_absent: 'neither client reached the relay',
  address: 'the relay does not serve the address of a client',
  limit: 'the relay had reached a limit',
};

/** What became of messages, by their labels. */
const OUTCOMES = {
  queued: 'waited',
  dropped_absent: 'dropped: peer absent',
  dropped_invalid_id: 'dropped: no such id',
  dropped_key_revoked: 'dropped: key disabled',
  dropped_outbox_full: 'dropped: peer too slow',
  dropped_queue_messages: 'dropped: too many waited',
  dropped_queue_bytes: 'dropped: too much waited',
  dropped_queue_total_bytes: 'dropped: too much waited for all',
  dropped_disconnected: 'dropped: peer left',
  dropped_in_doubt: 'unknown: a node died',
};

/** What became of calls and datagrams, and why requests to TURN were refused, by their labels. */
const MEDIA = {
  unanswered: 'without an answer',
  unknown: 'unknown',
  udp: 'over UDP',
  tcp: 'over TCP',
  mixed: 'over both',
  forged: 'without a valid signature',
  address: 'for an address that is not served',
  unverified: 'of clients that are not verified yet',
  permission: 'without a permission of TURN',
  no_route: 'whose recipient is not there',
  too_much: 'above a limit of bytes',
  full: 'for a full socket',
  credentials: 'for wrong credentials',
  expired: 'for expired credentials',
  key: 'for a key without TURN',
  key_quota: 'for the limit of the key',
  address_quota: 'for the limit of the address',
  capacity: 'for a limit of the server',
  peer: 'for a peer that is not served',
  request: 'for an invalid request',
  pipe_left: 'as an end left',
  pipe_alone: 'as no other end came',
  pipe_stalled: 'as an end did not read',
};

export const outcomeWords = (label) => OUTCOMES[label] ?? label.replaceAll('_', ' ');
export const mediaWords = (label) => MEDIA[label] ?? (CALL_FAILED[label] ? `because ${CALL_FAILED[label]}` : label.replaceAll('_', ' '));
export const callFailedWords = (label) => CALL_FAILED[label] ?? label;
export const closedWords = (label) => CLOSED[label] ?? label;
export const refusedWords = (label) => REFUSED[label] ?? label;

/** The text of an event of each kind, and the details behind it. `keyed` and `from` name its key and its address, `who` all that is known of its client. */
const EVENTS = {
  connected: ({ id, keyed, from }) => [`${id} connected`, keyed, from],
  disconnected: ({ id, reason, keyed }) => [`${id} ${closedWords(reason)}`, keyed],
  refused: ({ reason, who }) => [`A client was refused: ${refusedWords(reason)}`, ...who],
  mistake: ({ reason, who }) => [`A client ${reason}`, ...who],
  kicked: ({ id, keyed }) => [`An operator kicked ${id}`, keyed],
  expired: ({ id, keyed }) => [`Messages for ${id} expired`, keyed],
  room_joined: ({ id, reason, keyed }) => [`${id} joined the room ${reason}`, keyed],
  room_left: ({ id, reason, keyed }) => [`${id} left the room ${reason}`, keyed],
  relayed: ({ caller, callee, keyed }) => ['A call goes through the relay', keyed, `${caller} to ${callee}`],
  call_failed: ({ caller, callee, reason, keyed }) => [`A call failed: ${callFailedWords(reason)}`, keyed, `${caller} to ${callee}`],
  connection_failed: ({ id, reason, keyed }) => [`${id} reports a connection that failed: ${REASONS[reason] ?? reason}`, keyed],
  limit: ({ reason, keyed, from }) => [`A limit was reached: ${reason.replaceAll('_', ' ')}`, keyed, from],
  key_added: ({ key }) => [`The key ${key} was added`],
  key_changed: ({ key }) => [`The key ${key} was changed`],
  key_removed: ({ key }) => [`The key ${key} was removed`],
  keys_changed: ({ reason }) => [reason],
  key_full: ({ key }) => [`The key ${key} has reached its client limit`],
  banned: ({ reason }) => [`An operator banned ${reason}`],
  unbanned: ({ reason }) => [`The ban of ${reason} is over`],
  certificate: ({ reason }) => ['A new certificate is in use', reason],
  reloaded: ({ reason }) => ['The configuration was read again', reason],
  reload_failed: ({ reason }) => ['The configuration is wrong: the previous one stays active', reason],
  log_filter: ({ reason }) => [reason ? `The log shows ${reason}` : 'The log is as configured again'],
  cluster: ({ reason }) => [`Cluster: ${reason}`],
  stopping: () => ['The server stops'],
};

/** An event of the server as `{ text, detail }`. */
export function eventWords(event) {
  const { kind, key, id, address, origin } = event;
  const keyed = key && `key ${key}`;
  const from = address && `from ${address}`;
  const who = [keyed, id && `id ${id}`, from, origin];
  const [text, ...details] = EVENTS[kind]?.({ ...event, keyed, from, who }) ?? [kind.replaceAll('_', ' '), keyed, id, from];
  return { text, detail: details.filter(Boolean).join(' · ') };
}
