// Signals for a peer of another stack as PeerJS does, on a machine of a network. Prints `open` when the server knows the peer, and
// `done` when all messages have come back.
//
// The peer's program reads and writes lines of JSON: `{type, sdp}`, `{candidate}`, and when it is done, `{done}`.
//
// Usage: node signalling.mjs URL ID OTHER PROGRAM [ARGUMENT…]

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { PeerSocket } from '../../../client-tests/lib/peer-socket.mjs';

const [url, id, dst, program, ...words] = process.argv.slice(2);
const { socket } = await PeerSocket.open(url, { id });
console.log('open');

const peer = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'] });
peer.on('exit', (code) => process.exit(code ?? 1));
createInterface(peer.stdout).on('line', (line) => {
  const { type, sdp, candidate, done } = JSON.parse(line);
  const common = { type: 'data', connectionId: 'dc_1' };
  if (done) console.log('done');
  else if (candidate) socket.send(JSON.stringify({ type: 'CANDIDATE', dst, payload: { candidate: { candidate, sdpMLineIndex: 0 }, ...common } }));
  else socket.send(JSON.stringify({ type: type.toUpperCase(), dst, payload: { sdp: { type, sdp }, ...common } }));
});
socket.on('message', (text) => {
  const { type, payload } = JSON.parse(String(text));
  if (type === 'CANDIDATE') peer.stdin.write(`${JSON.stringify({ candidate: payload.candidate.candidate })}\n`);
  if (type === 'OFFER' || type === 'ANSWER') peer.stdin.write(`${JSON.stringify(payload.sdp)}\n`);
});
