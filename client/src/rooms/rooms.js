// A client for the rooms of peerbroker, over every PeerJS: `const room = await joinRoom(peer, 'lobby', { name: 'Anna' })`.
// rooms.d.ts describes all of it.

import { PASSING, PAUSE, State } from './state.js';

// In milliseconds: for an answer of the server; for a call that the other side should begin; for WebRTC.
const ANSWER_WAIT = 5_000;
const CALLEE_WAIT = 6_000;
const CONNECT_WAIT = 15_000;
/** As long as the server keeps a member that is away. */
const RETURN_WAIT = 10_000;

/* global maxMessageBytes */
/** The largest message in bytes: the server writes its `--max_message_bytes` in front of this file. */
const MOST_BYTES = typeof maxMessageBytes === 'number' ? maxMessageBytes : 1_048_576;

/** Objects that JSON can hold. It would write `{}` for a Blob, a Map and the like. */
const JSON_OBJECTS = /^\[object (Object|Array|String|Number|Boolean)\]$/;

/** What a page may listen to; `stream` is of calls, `connected` and `data` of connections, `entered` for this file. */
const EVENTS = new Set(['joined', 'updated', 'left', 'message', 'host', 'seat', 'state', 'closed', 'stream', 'connected', 'data', 'entered']);

/** What a room has, and the promise of one has not. */
const OF_ROOM = ['on', 'off', 'send', 'update', 'leave', 'callEverybody', 'connectEverybody', 'members', 'host', 'isHost', 'seat', 'seats', 'state'];

/** Most characters of a wrong value in the text of an error. */
const SHOWN = 40;

/** Most messages that wait until their senders are known. The server keeps no more for a client that is away. */
const MOST_HELD = 1000;
/** Most calls that wait until their senders are known, which is soon or never. */
const MOST_EARLY = 100;

/** Most bytes that wait in a data connection. */
const MOST_WAITING = 256 * 1024;

let requests = 0;

/** The rooms of each peer by their names, until the page leaves them. @type {WeakMap<object, Map<string, Room>>} */
const ROOMS = new WeakMap();

/** A request that failed. `type` is the name of the server's refusal, or `disconnected`, `no_answer` or `too_big`. */
export class RoomError extends Error {
  constructor(type, message) {
    super(message);
    this.name = 'RoomError';
    this.type = type;
  }
}

/** @type {typeof import('../../types/rooms.js').joinRoom} */
export const joinRoom = (peer, name, data, options) => awaited('joinRoom', enter(peer, name, data, options));

const enter = async (peer, name, data, options) => entered(new Room(peer, name, data, options));

/** Names the missing `await` where a page takes the promise for the room. @template Kind @param {string} method @param {Promise<Kind>} promise */
function awaited(method, promise) {
  const get = () => {
    throw new TypeError(`${method} returns a promise: write await ${method}(…), in an async function or a module`);
  };
  for (const name of OF_ROOM) Object.defineProperty(promise, name, { get });
  return promise;
}

/** @template {Room} Kind @param {Kind} room @returns {Promise<Kind>} */
function entered(room) {
  return new Promise((resolve, reject) => {
    room.on('entered', () => resolve(room), { once: true });
    room.on('closed', ({ error }) => reject(error ?? room.notMember()), { once: true });
  });
}

/** Leaves a room. It keeps nothing of the room. */
const partLater = (peer, room) => () => peer.socket.send({ type: 'ROOM-LEAVE', room });

/** A wrong value, for the text of an error. */
function shown(value) {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, SHOWN));
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value !== 'object' || value === null) return String(value);
  const kind = Object.prototype.toString.call(value).slice('[object '.length, -1);
  return `${/^[AEIO]/.test(kind) ? 'an' : 'a'} ${kind}`;
}

/** The server knows the peer as one member, so both rooms end when one of them is left. */
function warnOfOther(peer, name, room) {
  const names = ROOMS.get(peer) ?? new Map();
  ROOMS.set(peer, names);
  if (names.has(name)) console.warn(`This peer has joined the room ${shown(name)} already: use the room of the first joinRoom, or leave() it first`);
  names.set(name, room);
}

function forget(peer, room) {
  const names = /** @type {Map<string, Room>} */ (ROOMS.get(peer));
  if (names.get(room.name) === room) names.delete(room.name);
}

function isJson(value, holder) {
  if (typeof value === 'number') return Number.isFinite(value);
  // JSON leaves such a member of an object out, and writes null for it in an array.
  if (value === undefined) return !Array.isArray(holder);
  if (typeof value === 'object') return value === null || JSON_OBJECTS.test(Object.prototype.toString.call(value));
  return typeof value === 'string' || typeof value === 'boolean';
}

/** A message as PeerJS writes it. Throws if another value would arrive than the one that is sent. */
function textOf(message) {
  return JSON.stringify(message, function (name, value) {
    if (isJson(value, this)) return value;
    throw new TypeError(`A room carries JSON only, but "${name}" is ${shown(value)}`);
  });
}

class Room extends EventTarget {
  members = new Map();
  /** Without the entry of the broker that says who may write. */
  state = new State(
    (name, value, version) => this.#request('ROOM-SET', { name, value, version }),
    (change) => this.tell('state', change),
  );
  /** The `seat`, `since` and `host` of each member that the broker lists. */
  #seats = new Map();
  /** The host of which the page was told. */
  #host;
  #options;
  #peer;
  #socket;
  #data;
  #isOpen = false;
  #hasEntered = false;
  #isClosed = false;
  /** The latest error of the peer, which may be the end of it. */
  #why;
  #requests = new Map();
  /** The server still knew this member when it came back. */
  #isKept = false;
  /** Members that a server has forgotten with this one, as in a restart. They may only come back later. */
  #absent = new Set();
  #absentTimer;
  /** Messages that came before the list or the news that names their sender. */
  #held = [];
  /** The page has had the time to listen. */
  #isHeard = false;
  /** Its calls and connections, which end with it. */
  #meshes = new Set();
  /** A listener of the page with what the browser calls for it. */
  #listeners = new WeakMap();

  /** @param {any} peer @param {string} name @param {any} data @param {import('../../types/rooms.js').RoomOptions & { seat?: false }} options */
  constructor(peer, name, data, { host, writers, seat } = {}) {
    super();
    const isPeer = typeof peer?.on === 'function' && typeof peer.call === 'function';
    if (!isPeer) throw new TypeError(`joinRoom(peer, name) needs a Peer of PeerJS, not ${shown(peer)}`);
    if (typeof name !== 'string') throw new TypeError(`The name of a room is a string, not ${shown(name)}`);
    textOf({ data });
    if (host !== undefined && typeof host !== 'boolean') throw new TypeError(`The host of joinRoom is true or false, not ${shown(host)}`);
    if (!['host', 'all', undefined].includes(writers)) throw new TypeError(`The writers of a room are "all" or "host", not ${shown(writers)}`);
    warnOfOther(peer, name, this);
    // Where its connections find no path, their data goes over its broker.
    globalThis[Symbol.for('peerbroker.pipes')]?.useBrokerOf(peer);
    this.name = name;
    this.#peer = peer;
    this.#data = data;
    this.#options = { host, writers, seat: seat ?? true };
    peer.on('open', this.#opened);
    peer.on('disconnected', this.#lost);
    peer.on('close', this.#ended);
    peer.on('error', this.#failed);
    if (peer.open) {
      this.#opened();
    } else {
      setTimeout(this.#look);
      setTimeout(this.#checkId, PAUSE);
    }
  }

  /** The willing member that came first. All pages hear the same members, so they agree. */
  get host() {
    let first;
    for (const [id, { since, host }] of this.#seats) {
      const other = this.#seats.get(first);
      if (host !== false && (!other || since < other.since || since === other.since && id < first)) first = id;
    }
    return first;
  }

  get isHost() {
    return this.host !== undefined && this.host === this.#peer.id;
  }

  get seat() {
    return this.#seats.get(this.#peer.id)?.seat;
  }

  get seats() {
    return new Map([...this.#seats].map(([id, { seat }]) => [id, seat]));
  }

  on(type, listener, options) {
    if (!EVENTS.has(type)) {
      console.warn(`A room has no event ${shown(type)}: its events are ${[...EVENTS].filter((event) => event !== 'entered').join(', ')}`);
    }
    const called = this.#listeners.get(listener) ?? (({ detail }) => listener(detail));
    this.#listeners.set(listener, called);
    this.addEventListener(type, called, options);
    return this;
  }

  off(type, listener) {
    this.removeEventListener(type, this.#listeners.get(listener) ?? null);
    return this;
  }

  async send(payload, to) {
    if (to !== undefined && typeof to !== 'string') throw new TypeError(`The id of a member is a string, not ${shown(to)}`);
    return this.#request('ROOM-SEND', { payload, dst: to });
  }

  async update(data) {
    await this.#request('ROOM-UPDATE', { data });
    this.#data = data;
    this.members.set(this.#peer.id, data);
  }

  async leave() {
    if (this.#isClosed) return;
    forget(this.#peer, this);
    await this.#request('ROOM-LEAVE').catch(({ type }) => {
      // A peer that comes back is still in its rooms.
      if (type === 'disconnected') this.#peer.once('open', partLater(this.#peer, this.name));
    });
    this.#close();
  }

  /** The call is a room of its own, so all know who takes part, and nobody calls others. */
  callEverybody(stream, data = this.#data) {
    return awaited('callEverybody', this.#call(stream, data));
  }

  async #call(stream, data) {
    if (typeof stream?.getTracks !== 'function') {
      throw new TypeError(`callEverybody(stream) needs a MediaStream, as await getUserMedia(…) gives one, not ${shown(stream)}`);
    }
    return this.#enterMesh(() => new Mesh(this.#peer, `${this.name}:call`, data, callLines(this.#peer, stream)));
  }

  /** The connections are a room of their own, as a call is. */
  connectEverybody(options = {}) {
    return awaited('connectEverybody', this.#enterMesh(() => new Connections(this.#peer, `${this.name}:data`, options)));
  }

  async #enterMesh(make) {
    if (this.#isClosed) throw this.notMember();
    const mesh = make();
    this.#meshes.add(mesh);
    mesh.on('closed', () => this.#meshes.delete(mesh));
    return entered(mesh);
  }

  notMember() {
    return new RoomError('not_member', `This page has left the room ${shown(this.name)}: join it again`);
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** PeerJS 1.0 is not yet open in its event `open`, and no PeerJS calls a listener that is added in the event. */
  #look = () => {
    if (this.#peer.destroyed) this.#ended();
    else if (this.#peer.open && !this.#isOpen) this.#opened();
  };

  /** A dev server without a proxy for the broker answers with its page: PeerJS takes that as its id, and waits for ever without an error. */
  #checkId = () => {
    if (this.#isOpen || this.#isClosed) return;
    const { id, options: { secure, host, port, path, key } = {} } = this.#peer;
    if (!/^\s*</.test(id ?? '')) {
      setTimeout(this.#checkId, PAUSE);
      return;
    }
    const url = `${secure ? 'https' : 'http'}://${host}:${port}${path}${key}/id`;
    this.#close(new RoomError('no_answer', `The answer of ${url} is a page, not an id: ${shown(id.trim())}. No broker is there: `
      + `have the server pass ${path} on, or pass the broker's host, port and path to Peer`));
  };

  #opened = () => {
    this.#isOpen = true;
    // PeerJS 0.3 and 1.0 make a new socket for each connection.
    if (this.#socket !== this.#peer.socket) {
      this.#socket = this.#peer.socket;
      this.#socket.on('message', this.#hear);
    }
    this.#enter();
  };

  #lost = () => {
    this.#isOpen = false;
    this.#isKept = false;
    clearTimeout(this.#absentTimer);
    const error = new RoomError('disconnected', 'The connection to the server was lost before it answered');
    for (const request of this.#requests.keys()) this.#answer(request, error);
  };

  #failed = (error) => {
    this.#why = error;
  };

  #ended = () => {
    this.#lost();
    const why = this.#why && `: ${this.#why.message || this.#why.type}`;
    this.#close(new RoomError('disconnected', `The peer is destroyed${why ?? ''}`));
  };

  /** Joins after each `open`: a member that comes back gets only the list again, and one that was away for too long is in again. */
  async #enter() {
    try {
      await this.#request('ROOM-JOIN', { data: this.#data, ...this.#options, seat: this.seat ?? this.#options.seat });
      this.#hasEntered = true;
      this.tell('entered');
      setTimeout(() => {
        this.#isHeard = true;
        this.#tellHeld();
      });
    } catch (error) {
      if (error.type === 'disconnected') return;
      if (this.#hasEntered && PASSING.has(error.type)) {
        setTimeout(() => this.#isClosed || this.#enter(), PAUSE);
        return;
      }
      // The answer may only be late.
      if (error.type === 'no_answer') partLater(this.#peer, this.name)();
      this.#close(error);
    }
  }

  #close(error) {
    if (this.#isClosed) return;
    this.#isClosed = true;
    forget(this.#peer, this);
    this.#peer.off('open', this.#opened);
    this.#peer.off('disconnected', this.#lost);
    this.#peer.off('close', this.#ended);
    this.#peer.off('error', this.#failed);
    this.#socket?.off('message', this.#hear);
    clearTimeout(this.#absentTimer);
    this.members.clear();
    this.#held = [];
    for (const mesh of this.#meshes) mesh.leave();
    this.tell('closed', { error });
  }

  #request(type, content = {}) {
    return new Promise((resolve, reject) => {
      // Never that of a request that the page sends itself.
      const request = `rooms.js ${(requests += 1)}`;
      const message = { type, room: this.name, request, ...content };
      const bytes = new TextEncoder().encode(textOf(message)).length;
      // The server would close the connection.
      if (bytes > MOST_BYTES) {
        reject(new RoomError('too_big', `The message has ${bytes} bytes, and the server takes at most ${MOST_BYTES} (--max_message_bytes)`));
        return;
      }
      if (this.#isClosed) {
        reject(this.notMember());
        return;
      }
      if (!this.#isOpen) {
        reject(new RoomError('disconnected', 'There is no connection to the server'));
        return;
      }
      const silence = `The server did not answer ${type}. Rooms need peerbroker: peerjs-server ignores such messages`;
      const timer = setTimeout(() => this.#answer(request, new RoomError('no_answer', silence)), ANSWER_WAIT);
      this.#requests.set(request, { resolve, reject, timer });
      this.#peer.socket.send(message);
    });
  }

  #answer(request, error) {
    const asked = this.#requests.get(request);
    if (!asked) return;
    this.#requests.delete(request);
    clearTimeout(asked.timer);
    if (error) asked.reject(error);
    else asked.resolve();
  }

  #hear = (message) => {
    const { type, room, request, payload } = message;
    if (type === 'ROOM-REFUSED') this.#answer(request, new RoomError(payload.type, payload.msg));
    if (room !== this.name) return;
    if (type === 'ROOM-MEMBERS') {
      this.#list(message);
    } else if (type === 'ROOM-JOINED' || type === 'ROOM-UPDATED') {
      this.#sit(message);
      this.#put(message);
    } else if (type === 'ROOM-LEFT') {
      this.#seats.delete(message.id);
      this.#drop(message.id);
    } else if (type === 'ROOM-STATE') {
      this.state.hear(message);
    }
    this.#tellHost();
    if (type === 'ROOM-MESSAGE') this.#tellMessage({ from: message.src, payload, isPrivate: 'dst' in message });
    else if (type === 'SERVER-MESSAGE') this.#tellMessage({ from: null, payload, isPrivate: false });
    this.#answer(request);
  };

  #tellMessage(message) {
    const isKnown = message.from === null || this.members.has(message.from);
    if (this.#isHeard && isKnown) this.tell('message', message);
    else if (this.#held.length < MOST_HELD) this.#held.push(message);
  }

  #tellHeld() {
    const held = this.#held;
    this.#held = [];
    held.forEach((message) => this.#tellMessage(message));
  }

  /** Tells the differences to the members before: after a reconnect these are the changes meanwhile. */
  #list({ members, state = [], request }) {
    // A server that knows this member lists the others unasked.
    if (request === undefined) this.#isKept = true;
    const ids = new Set(members.map(({ id }) => id));
    const missing = [...this.members.keys()].filter((id) => !ids.has(id));
    if (this.#isKept) missing.forEach((id) => this.#drop(id));
    else if (missing.length) this.#await(missing);
    // A member that has been here for longer than this connection knows what was deleted meanwhile.
    const isNew = !members.some(({ id, since }) => since && this.#seats.get(id)?.since === since);
    for (const id of [...this.#seats.keys()].filter((id) => !ids.has(id))) this.#seats.delete(id);
    members.forEach((member) => this.#sit(member));
    members.forEach((member) => this.#put(member));
    const entries = state.filter(({ name }) => name);
    if (isNew && !this.#isKept) this.state.restore(entries);
    else this.state.hearAll(entries);
  }

  #sit({ id, seat, since, host }) {
    const former = this.#seats.get(id);
    if (seat === undefined) this.#seats.delete(id);
    else this.#seats.set(id, { seat, since, host });
    if (former && seat !== undefined && former.seat !== seat) this.tell('seat', { id, seat });
  }

  #tellHost() {
    const [host, former] = [this.host, this.#host];
    this.#host = host;
    if (host !== former && this.#hasEntered) this.tell('host', { host, former });
  }

  #await(missing) {
    this.#absent = new Set(missing);
    clearTimeout(this.#absentTimer);
    this.#absentTimer = setTimeout(() => this.#absent.forEach((id) => this.#drop(id)), RETURN_WAIT);
  }

  #put({ id, data }) {
    this.#absent.delete(id);
    const isNew = !this.members.has(id);
    const isOther = JSON.stringify(this.members.get(id)) !== JSON.stringify(data);
    this.members.set(id, data);
    if (id !== this.#peer.id && (isNew || isOther)) this.tell(isNew ? 'joined' : 'updated', { id, data });
    if (isNew) this.#tellHeld();
  }

  #drop(id) {
    this.#absent.delete(id);
    const data = this.members.get(id);
    if (this.members.delete(id)) this.tell('left', { id, data });
  }
}

/**
 * What calls and data connections of PeerJS do differently. `event` tells of one that another page has made; `follow` tells the page of its
 * events.
 * @typedef {{
 *   event: 'call' | 'connection',
 *   dial: (id: string, metadata: { room: string }) => any,
 *   accept: (line: any) => void,
 *   follow: (line: any, tell: (type: string, detail: object) => void) => void,
 *   isUp: (line: any) => boolean,
 * }} Lines
 */

/** A room of members that have a connection with each other. Of two, the one with the smaller id makes it. */
class Mesh extends Room {
  #peer;
  #kind;
  /** The connection with each member. */
  #lines = new Map();
  /** Connections of members that this page has not heard of yet. */
  #early = new Map();

  /** @param {any} peer @param {string} name @param {any} data @param {Lines} lines */
  constructor(peer, name, data, lines) {
    // The room that they belong to has seats.
    super(peer, name, data, { seat: false });
    this.#peer = peer;
    this.#kind = lines;
    peer.on(lines.event, this.#ring);
    this.on('joined', ({ id }) => this.#meet(id));
    this.on('left', ({ id }) => this.#hangUp(id));
    this.on('closed', () => {
      peer.off(lines.event, this.#ring);
      for (const id of [...this.#lines.keys()]) this.#hangUp(id);
      for (const id of [...this.#early.keys()]) this.#forget(id);
    });
  }

  /** The connection with a member, if there is one by now. */
  line(id) {
    return this.#lines.get(id);
  }

  #ring = (line) => {
    if (line.metadata?.room !== this.name) return;
    const id = line.peer;
    this.#forget(id);
    if (this.members.has(id)) {
      this.#accept(line);
      return;
    }
    if (this.#early.size >= MOST_EARLY) this.#forget(this.#early.keys().next().value);
    this.#early.set(id, line);
    setTimeout(() => this.#early.get(id) === line && this.#forget(id), CONNECT_WAIT);
  };

  /** Ends a connection of a stranger. */
  #forget(id) {
    const line = this.#early.get(id);
    this.#early.delete(id);
    line?.close();
  }

  #meet(id) {
    const early = this.#early.get(id);
    this.#early.delete(id);
    if (early) this.#accept(early);
    else this.#dialSoon(id, 0);
  }

  /** The other side may not know that a connection is needed: it was away, and this page was told that it had left. */
  #dialSoon(id, pause) {
    setTimeout(() => this.#dial(id), this.#peer.id < id ? pause : pause + CALLEE_WAIT);
  }

  #accept(line) {
    this.#watch(line);
    this.#kind.accept(line);
  }

  #dial(id) {
    if (!this.members.has(id) || this.#lines.has(id)) return;
    const line = this.#peer.open && this.#kind.dial(id, { room: this.name });
    if (line) this.#watch(line);
    else this.#dialSoon(id, PAUSE);
  }

  #watch(line) {
    const id = line.peer;
    this.#hangUp(id);
    this.#lines.set(id, line);
    const isCurrent = () => this.#lines.get(id) === line;
    const failed = () => {
      if (!isCurrent()) return;
      this.#hangUp(id);
      this.#dialSoon(id, PAUSE);
    };
    this.#kind.follow(line, (type, detail) => isCurrent() && this.tell(type, detail));
    line.on('close', failed);
    line.on('error', failed);
    setTimeout(() => this.#kind.isUp(line) || failed(), CONNECT_WAIT);
  }

  #hangUp(id) {
    const line = this.#lines.get(id);
    this.#lines.delete(id);
    line?.close();
  }
}

/** The lines of a call. @returns {Lines} */
const callLines = (peer, stream) => ({
  event: 'call',
  // A page without a camera wants to see the others as well.
  dial: (id, metadata) => peer.call(id, stream, { metadata, constraints: { offerToReceiveAudio: true, offerToReceiveVideo: true } }),
  accept: (line) => line.answer(stream),
  follow: (line, tell) => line.once('stream', (stream) => tell('stream', { id: line.peer, stream })),
  isUp: (line) => /^(connected|completed)$/.test(line.peerConnection?.iceConnectionState),
});

/** The lines of data. PeerJS has opened those of others. @returns {Lines} */
const dataLines = (peer, options) => ({
  event: 'connection',
  dial: (id, metadata) => peer.connect(id, { ...options, metadata }),
  accept: () => {},
  follow: (line, tell) => {
    const connected = () => tell('connected', { id: line.peer });
    // One that came before the news of its member may be open.
    if (line.open) connected();
    else line.on('open', connected);
    line.on('data', (data) => tell('data', { from: line.peer, data }));
  },
  isUp: (line) => line.open,
});

/** Data connections of all members that take part. Where there is none, data go over the room. */
class Connections extends Mesh {
  #own;
  #fallback;
  #reliable;

  constructor(peer, name, { fallback = true, ...options }) {
    super(peer, name, undefined, dataLines(peer, options));
    this.#own = peer.id;
    this.#fallback = fallback;
    this.#reliable = options.reliable;
    this.on('message', ({ from, payload }) => this.tell('data', { from, data: payload }));
  }

  /** @override */
  async send(data, to) {
    if (!this.members.has(this.#own)) throw this.notMember();
    const others = [...this.members.keys()].filter((id) => id !== this.#own);
    const missed = (to === undefined ? others : [to]).filter((id) => !this.#sendDirectly(id, data));
    if (!missed.length || !this.#fallback) return;
    if (to === undefined && missed.length === others.length) await super.send(data);
    else await Promise.all(missed.map((id) => super.send(data, id)));
  }

  isDirect(id) {
    return Boolean(this.line(id)?.open);
  }

  /** True if the member gets the data directly, or not at all: nobody wants old data of an unreliable connection. */
  #sendDirectly(id, data) {
    if (!this.isDirect(id)) return false;
    const line = this.line(id);
    const waiting = (line.dataChannel ?? line._dc)?.bufferedAmount ?? 0;
    if (waiting <= MOST_WAITING) line.send(data);
    else if (this.#reliable) throw new RoomError('too_slow', `Over ${MOST_WAITING} bytes wait for ${shown(id)}`);
    return true;
  }
}
