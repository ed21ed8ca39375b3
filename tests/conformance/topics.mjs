// Topics: the same frames to the servers of y-webrtc and Trystero, and to ours.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { plainEnvironment } from '../../client-tests/lib/server.mjs';
import { freePort } from '../../client-tests/lib/shipped-proxy.mjs';
import { within } from '../../client-tests/lib/within.mjs';
import { root } from '../../scripts/test/log.mjs';
import { Skipped } from './tools.mjs';
import { compare } from './transcripts.mjs';
import { prepared } from './trystero.mjs';

const Y_WEBRTC = {
  subscribe: (...topics) => ({ type: 'subscribe', topics }),
  unsubscribe: (...topics) => ({ type: 'unsubscribe', topics }),
  publish: (topic, data) => ({ type: 'publish', topic, data }),
  /** README.md explains them. */
  differences: [
    'no JSON', 'an empty frame', 'values that are no object', 'topics that are no list', 'invalid UTF-8', 'a lone surrogate',
    'a topic of 257 bytes', 'a control character', 'topic 65', 'the dialect of ws-relay', 'a publication with payload', 'another path',
  ],
};

const WS_RELAY = {
  subscribe: (topic) => ({ type: 'subscribe', topic }),
  unsubscribe: (topic) => ({ type: 'unsubscribe', topic }),
  publish: (topic, payload) => ({ type: 'publish', topic, payload }),
  differences: [
    'an empty topic', 'values that are no object', 'invalid UTF-8', 'a lone surrogate', 'a topic of 257 bytes', 'a control character', 'topic 65', 'a ping',
    'the dialect of y-webrtc', 'a publication without payload', 'another path',
  ],
};

const binary = (frame) => Buffer.from(JSON.stringify(frame));
const long = (bytes) => 'x'.repeat(bytes);

/** Frames, each of one of the clients a, b and c. A text or a buffer is sent as it is. */
function scripts({ subscribe, unsubscribe, publish }) {
  const heard = (topic, ...data) => [{ a: subscribe(topic) }, ...data.map((one) => ({ b: publish(topic, one) }))];
  const ignored = (...frames) => [{ a: subscribe('doc') }, ...frames.map((frame) => ({ a: frame })), { b: publish('doc', 'the end') }];
  return {
    'the sender hears itself': [{ a: subscribe('doc') }, { a: publish('doc', 1) }],
    'two subscribers': [{ a: subscribe('doc') }, { a: publish('doc', 1) }, { b: subscribe('doc') }, { b: publish('doc', 2) }, { a: publish('doc', 3) }],
    'three clients and two topics': [
      { a: subscribe('one') }, { b: subscribe('one') }, { b: subscribe('two') }, { c: subscribe('two') },
      { a: publish('one', 1) }, { b: publish('two', 2) }, { c: publish('one', 3) }, { a: publish('two', 4) },
    ],
    'a sender without a subscription': [{ a: subscribe('doc') }, { b: publish('doc', 1) }],
    'an unknown topic': [{ a: publish('nobody', 1) }, { a: unsubscribe('nobody') }, { a: subscribe('nobody') }, { a: publish('nobody', 2) }],
    'the end of a subscription': [
      { a: subscribe('doc') }, { b: subscribe('doc') }, { a: unsubscribe('doc') }, { a: publish('doc', 1) }, { b: unsubscribe('doc') },
      { b: publish('doc', 2) }, { a: subscribe('doc') }, { a: publish('doc', 3) },
    ],
    'the end of one that is none': [{ a: unsubscribe('doc') }, { b: subscribe('doc') }, { a: unsubscribe('doc') }, { a: publish('doc', 1) }],
    'the same subscription twice': [{ a: subscribe('doc') }, { a: subscribe('doc') }, { b: publish('doc', 1) }, { a: unsubscribe('doc') }, { b: publish('doc', 2) }],
    'all kinds of values': heard('doc', { type: 'signal', signal: { sdp: 'v=0\r\n' } }, [1, [2]], 'text', '', 0, -1.5e-7, true, false, null, {}),
    'characters': heard('Übung "\\" 🎈/', 'ü 🎈 \u2028 "\\" \u0000'),
    'escapes in a topic': ignored(JSON.stringify(publish('doc', 1)).replace('doc', String.raw`\u0064o\u0063`)),
    'names of prototypes': [...heard('__proto__', 1), ...heard('constructor', { constructor: 1 })],
    'other members': ignored({ ...publish('doc', 1), clients: 7, from: 'a' }, { from: 'a', clients: [], ...publish('doc', 2) }),
    'white space': ignored(` \r\n\t${JSON.stringify(publish('doc', { x: [1] }), null, 2)}\n`),
    'members twice': ignored(JSON.stringify(publish('other', 1)).replace(/}$/, ',"topic":"doc"}')),
    'binary frames': [{ a: binary(subscribe('doc')) }, { b: binary(publish('doc', 1)) }, { a: binary(unsubscribe('doc')) }, { b: publish('doc', 2) }],
    'values that are no object': ignored('null', '1', '"doc"', '[]', 'true', '{}'),
    'unknown types': ignored({ type: 'hello' }, { type: 1 }, { type: null }, { type: ['publish'], topic: 'doc' }, { topic: 'doc' }, { ...publish('doc', 1), type: 'PUBLISH' }),
    'numbers and others as topics': [
      ...[1, true, null, { x: 1 }].flatMap((topic) => [{ a: subscribe(topic) }, { a: publish(topic, 1) }, { a: unsubscribe(topic) }]),
      { a: publish('1', 2) }, { a: publish('null', 3) },
    ],
    'no topic': ignored({ type: 'publish', data: 1 }, { type: 'publish', payload: 1 }, { type: 'subscribe' }, { type: 'unsubscribe' }),
    'an empty topic': heard('', 1),
    'a topic of 256 bytes': heard(long(256), 1),
    'a topic of 257 bytes': heard(long(257), 1),
    'a control character': heard('a\u0001b', 1),
    'a lone surrogate': heard('\ud800', 1),
    '60,000 bytes': heard('doc', long(60_000)),
    '64 topics': [...Array.from({ length: 64 }, (_, n) => ({ a: subscribe(`t${n}`) })), { b: publish('t0', 1) }, { b: publish('t63', 2) }],
    'topic 65': [...Array.from({ length: 65 }, (_, n) => ({ a: subscribe(`t${n}`) })), { b: publish('t63', 1) }, { b: publish('t64', 2) }],
    'no JSON': ignored('{"type":"subscribe"', 'hello'),
    'an empty frame': ignored(''),
    'invalid UTF-8': ignored(Buffer.from(JSON.stringify(publish('doc', '\u00ff')), 'latin1')),
    'a ping': ignored({ type: 'ping' }, { type: 'ping', topic: 'doc', x: 1 }),
    'another path': [{ path: 'room?x=1' }, { a: subscribe('doc') }, { a: publish('doc', 1) }],
    'a query': [{ path: '?room=1' }, { a: subscribe('doc') }, { a: publish('doc', 1) }],
  };
}

/** What only y-webrtc's protocol has. */
const ofYWebrtc = ({ subscribe, unsubscribe, publish }) => ({
  'a list': [{ a: subscribe('one', 'two', 'one') }, { b: publish('one', 1) }, { b: publish('two', 2) }, { a: unsubscribe('two', 'three', 'one') }, { b: publish('one', 3) }],
  'a list with others': [{ a: { type: 'subscribe', topics: [1, null, ['x'], 'doc', { y: 1 }] } }, { b: publish('doc', 1) }, { a: publish('1', 2) }],
  'a list with a lone surrogate': [{ a: subscribe('one', '\ud800', 'two') }, { b: publish('one', 1) }, { b: publish('two', 2) }],
  'empty lists': [{ a: subscribe() }, { a: { type: 'subscribe', topics: null } }, { a: unsubscribe() }, { a: publish('doc', 1) }],
  'topics that are no list': [{ a: subscribe('doc') }, { a: { type: 'subscribe', topics: 'doc' } }, { a: publish('doc', 1) }],
  'a publication without data': [{ a: subscribe('doc') }, { a: { type: 'publish', topic: 'doc' } }],
  'a publication with payload': [{ a: subscribe('doc') }, { a: { ...publish('doc', 1), payload: 2 } }],
  'the dialect of ws-relay': [{ a: WS_RELAY.subscribe('doc') }, { a: publish('doc', 1) }],
});

/** What only ws-relay's protocol has. */
const ofWsRelay = ({ subscribe, publish }) => ({
  'a publication without payload': [{ a: subscribe('doc') }, { a: { type: 'publish', topic: 'doc' } }, { a: publish('doc', 1) }],
  'the dialect of y-webrtc': [{ a: Y_WEBRTC.subscribe('doc') }, { a: publish('doc', 1) }],
});

export async function yWebrtc() {
  const program = join(root, 'client-tests/node_modules/y-webrtc/bin/server.js');
  if (!existsSync(program)) throw new Skipped(`there is no ${program}: make setup`);
  // A frame may end it.
  const start = async () => {
    const port = await freePort();
    const child = spawn(process.execPath, [program], { env: { ...plainEnvironment(), PORT: `${port}` }, stdio: ['ignore', 'pipe', 'ignore'] });
    const exited = once(child, 'exit');
    await within('the server of y-webrtc', once(child.stdout, 'data'));
    return {
      url: `ws://127.0.0.1:${port}/`,
      stop: () => (child.kill(), exited),
    };
  };
  return compare('y-webrtc', { ...scripts(Y_WEBRTC), ...ofYWebrtc(Y_WEBRTC) }, Y_WEBRTC, start);
}

export async function wsRelay() {
  const { folder } = await prepared();
  const { createWsRelayServer } = await import(pathToFileURL(join(folder, 'packages/ws-relay/dist/server.mjs')).href);
  const start = async () => {
    const relay = createWsRelayServer({ port: 0, host: '127.0.0.1' });
    await relay.ready;
    return { url: `ws://127.0.0.1:${relay.address().port}/`, stop: () => relay.close() };
  };
  return compare('ws-relay', { ...scripts(WS_RELAY), ...ofWsRelay(WS_RELAY) }, WS_RELAY, start);
}
