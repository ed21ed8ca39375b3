// The line of a description that says that its page has this script: `a=pipe:1 {id} {public key} [only]`. Native WebRTC ignores it.

import { fromBase64Url, toBase64Url } from './bytes.js';

/** Under this name, a connection over a pipe has the public keys of both ends. */
export const PIPE_KEYS = Symbol.for('peerbroker.pipeKeys');

const LINE = /^a=pipe:1 ([\w-]{22}) ([\w-]{43})( only)?$/m;
const ANY = /^a=pipe:.*(\r?\n|$)/gm;

/** The part of a description that is about the whole session. */
const sessionOf = (sdp) => sdp.split(/^m=/m, 1)[0];

/** @param {{ id: Uint8Array, key: Uint8Array, isOnly: boolean }} line `isOnly`: this page has no native WebRTC. */
export function writeLine({ id, key, isOnly }) {
  return `a=pipe:1 ${toBase64Url(id)} ${toBase64Url(key)}${isOnly ? ' only' : ''}`;
}

/** The line of a description, or null. */
export function readLine(sdp) {
  const found = LINE.exec(sessionOf(sdp).replace(/\r/g, ''));
  return found && { id: fromBase64Url(found[1]), key: fromBase64Url(found[2]), isOnly: found[3] !== undefined };
}

export const withoutLine = (sdp) => sdp.replace(ANY, '');

/** The description with this line, in the place of another one. */
export function withLine(sdp, line) {
  const bare = withoutLine(sdp);
  const session = sessionOf(bare);
  return `${session}${line}\r\n${bare.slice(session.length)}`;
}
