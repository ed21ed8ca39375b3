// Runs in an engine without a page: two connections of webrtc.js, whose time and whose broker of pipes are here. Prints what came of it.

import vectors from '../../tests/fixtures/pipe.json' with { type: 'json' };
import { NEXT, PING, readFrame } from '../../client/src/pipe/frames.js';
import { install } from '../../client/src/pipe/install.js';
import { Receiver, Sender } from '../../client/src/pipe/ordered-records.js';
import { deriveKeys, keyPair } from '../../client/src/pipe/sealing.js';

const scope = /** @type {any} */ (globalThis);

// Timers of Hermes' shell do not wait.
const nextTask = scope.setTimeout;
let now = 0;
let timers = [];
Date.now = () => now;
let id = 0;
scope.setTimeout = (run, wait = 0) => {
  id += 1;
  timers.push({ run, at: now + wait, id });
  return id;
};
scope.clearTimeout = (old) => { timers = timers.filter((timer) => timer.id !== old); };

/** Runs the timer that is due first, and so on. */
function tick() {
  timers.sort((a, b) => a.at - b.at || a.id - b.id);
  const timer = timers.shift();
  if (!timer) return;
  now = timer.at;
  timer.run();
  nextTask(tick);
}

const pipes = {};

/** As that of React Native, it has no `bufferedAmount`. */
scope.WebSocket = class {
  static CONNECTING = 0;
  static OPEN = 1;
  readyState = 0;
  sent = [];
  /** @type {any} */ onopen;
  /** @type {any} */ onmessage;
  /** @type {any} */ onclose;

  constructor(url) {
    const { pathname, searchParams } = new URL(url);
    this.pipe = (pipes[pathname] ??= { ends: new Map(), turn: 0 });
    this.end = searchParams.get('end');
    setTimeout(() => this.open());
  }

  open() {
    this.readyState = 1;
    this.onopen();
    this.pipe.ends.set(this.end, this);
    if (this.pipe.ends.size < 2) return;
    this.pipe.turn += 1;
    for (const one of this.pipe.ends.values()) one.onmessage({ data: `{"type":"OPEN","turn":${this.pipe.turn}}` });
  }

  get other() {
    return [...this.pipe.ends.values()].find((one) => one !== this);
  }

  send(frame) {
    this.sent.push(frame.slice());
    const { buffer } = frame.slice();
    setTimeout(() => this.other?.onmessage({ data: buffer }));
  }

  close(code) {
    const { other } = this;
    this.lose(code);
    setTimeout(() => other?.lose(4011));
  }

  lose(code) {
    this.readyState = 3;
    this.pipe.ends.delete(this.end);
    setTimeout(() => this.onclose({ code, reason: '' }));
  }
};

const bytes = (hex) => Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16));
const same = (one, other) => String(one) === String(other);

/** The names of the vectors that this engine computes otherwise. */
function wrongVectors() {
  const side = ({ id, privateKey, publicKey }) => ({ id: bytes(id), secret: bytes(privateKey), key: bytes(publicKey) });
  const [offer, answer] = [side(vectors.offerer), side(vectors.answerer)];
  const keys = deriveKeys(offer.secret, answer.key, offer, answer);
  return ['offerer', 'answerer'].filter((name) => {
    const { privateKey, publicKey, key, frames } = vectors[name];
    const [sender, receiver] = [new Sender(keys[name]), new Receiver(keys[name])];
    const isFrame = ({ plain, frame }) => same(sender.seal(bytes(plain)), bytes(frame)) && same(receiver.open(readFrame(bytes(frame))), bytes(plain));
    return !same(keyPair(bytes(privateKey)).key, bytes(publicKey)) || !same(keys[name], bytes(key)) || !frames.every(isFrame);
  });
}

const next = (target, type) => new Promise((heard) => { target.addEventListener(type, heard, { once: true }); });

async function talk() {
  install({ broker: 'https://broker.example/' });
  const [one, other] = [new RTCPeerConnection(), new RTCPeerConnection()];
  const channel = one.createDataChannel('x');
  const arrived = next(other, 'datachannel');
  await one.setLocalDescription();
  await other.setRemoteDescription(one.localDescription);
  await other.setLocalDescription();
  await one.setRemoteDescription(other.localDescription);
  const opened = next(channel, 'open');
  const echoing = (await arrived).channel;
  echoing.onmessage = ({ data }) => echoing.send(data);
  await opened;
  const echo = async (data) => {
    channel.send(data);
    return (await next(channel, 'message')).data;
  };

  const text = await echo('größer 🙂 \uD800');
  const large = Uint8Array.from({ length: 262_144 }, (_, at) => at % 251);
  const isLargeSame = same(new Uint8Array(await echo(large)), large);
  const [pipe] = Object.values(pipes);
  [...pipe.ends.values()][0].lose(1006);
  const again = await echo('again');
  await new Promise((over) => { setTimeout(over, 1000); });
  const [end] = pipe.ends.values();
  const ping = end.other.sent.filter(([type]) => type === NEXT).pop();
  ping[0] = PING;
  const before = end.sent.length;
  end.onmessage({ data: ping.buffer });
  const isAnswered = end.sent.length > before;
  const closed = next(echoing, 'close');
  one.close();
  await closed;
  return { wrong: wrongVectors(), text, isLargeSame, again, isAnswered, turn: pipe.turn, state: other.connectionState };
}

talk().then((result) => scope.print(JSON.stringify(result)), (error) => scope.print(String(error.stack)));
nextTask(tick);
