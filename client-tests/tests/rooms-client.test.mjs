// rooms.js and rooms.mjs of the broker: rooms for pages, over released PeerJS.

import assert from 'node:assert/strict';
import { startBareVite } from '../lib/bare-vite.mjs';
import { TOKEN, dashboardOf } from '../lib/dashboard.mjs';
import { everyClient, onStage } from '../lib/every-client.mjs';
import { listing } from '../lib/listings.mjs';
import { npmServer } from '../lib/server.mjs';
import { isThorough } from '../lib/thorough.mjs';

/**
 * A client whose page is in the room. `through` is the way to the server.
 * @param {any} stage @param {any} server @param {string} id
 * @param {{ through?: any, data?: any, version?: string }} options
 */
async function entered(stage, server, id, { through = server, data = { name: id }, version } = {}) {
  const client = await stage.client(version);
  await client.open(through, id);
  const members = await client.run(enter, { url: urlOf(server, 'rooms.mjs'), name: 'lobby', data });
  return { client, members };
}

const urlOf = ({ host, port }, file) => `http://${host}:${port}/${file}`;

// These run in pages.

async function enter({ url, name, data }) {
  const { joinRoom } = await import(url);
  const peer = window.harness.thePeer();
  // The harness answers every call.
  peer.removeAllListeners('call');
  const room = window.room = await joinRoom(peer, name, data);
  for (const type of ['joined', 'updated', 'left', 'message']) room.on(type, (event) => window.log.record(type, event));
  room.on('closed', ({ error }) => window.log.record('closed', error?.type ?? 'by itself'));
  return [...room.members];
}

function loadScript(url) {
  const script = Object.assign(document.createElement('script'), { src: url });
  return new Promise((done, failed) => {
    Object.assign(script, { onload: () => done(), onerror: failed });
    document.head.append(script);
  });
}

const members = () => [...window.room.members];
const send = ([payload, to]) => window.room.send(payload, to);
const update = (data) => window.room.update(data);
const leave = () => window.room.leave();

/** The type of the error with which a function of the room fails. */
const failure = ([method, ...values]) => window.room[method](...values).then(() => 'none', ({ type }) => type);

async function callEverybody() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  const call = window.call = await window.room.callEverybody(stream);
  call.on('left', ({ id }) => window.log.record('hung up', id));
  call.on('stream', ({ id, stream: theirs }) => {
    const video = Object.assign(document.createElement('video'), { muted: true, srcObject: theirs });
    // The second frame, because the first could be a poster.
    video.requestVideoFrameCallback(() => video.requestVideoFrameCallback(() => window.log.record('picture', id)));
    video.play();
  });
}

const hangUp = () => window.call.leave();

/** Calls like a member of the call. */
async function intrude(id) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  const line = window.harness.thePeer().call(id, stream, { metadata: { room: 'lobby:call' } });
  line.on('stream', () => window.log.record('intruded'));
}

everyClient('has the members of a room, their data and messages', { firefox: isThorough }, async (stage) => {
  const server = await stage.server([]);
  const { client: anna, members: alone } = await entered(stage, server, 'anna');
  const { client: bert, members: both } = await entered(stage, server, 'bert', { data: ['B'] });
  assert.deepEqual([alone, both], [[['anna', { name: 'anna' }]], [['anna', { name: 'anna' }], ['bert', ['B']]]]);
  assert.deepEqual(await anna.must('joined'), { id: 'bert', data: ['B'] });

  await bert.run(update, { name: 'Bert' });
  assert.deepEqual(await anna.must('updated'), { id: 'bert', data: { name: 'Bert' } });
  for (const client of [anna, bert]) assert.deepEqual((await client.run(members))[1], ['bert', { name: 'Bert' }]);

  await anna.run(send, ['hello everybody']);
  assert.deepEqual(await bert.must('message'), { from: 'anna', payload: 'hello everybody', isPrivate: false });
  await bert.run(send, [{ hello: 'Anna' }, 'anna']);
  assert.deepEqual(await anna.must('message'), { from: 'bert', payload: { hello: 'Anna' }, isPrivate: true });

  assert.equal(await anna.run(failure, ['send', 'hello', 'clara']), 'no_such_member');
  assert.equal(await anna.run(failure, ['update', 'x'.repeat(2000)]), 'data_too_long');

  await bert.run(leave);
  assert.equal(await bert.must('closed'), 'by itself');
  assert.deepEqual(await anna.must('left'), { id: 'bert', data: { name: 'Bert' } });
  assert.deepEqual(await anna.run(members), [['anna', { name: 'anna' }]]);
  assert.equal(await bert.run(failure, ['send', 'hello']), 'not_member');
});

everyClient('is told exactly the changes of the time in which it was away', {}, async (stage) => {
  const server = await stage.server([]);
  const proxy = await stage.proxy(server);
  const { client: anna } = await entered(stage, server, 'anna');
  const { client: bert } = await entered(stage, server, 'bert', { through: proxy });
  const { client: clara } = await entered(stage, server, 'clara');
  await bert.must('joined');

  proxy.cut();
  await bert.next('disconnected');
  await anna.run(update, 'other data');
  await clara.run(leave);
  await entered(stage, server, 'dora');
  await bert.reconnect();

  assert.deepEqual(await bert.must('updated'), { id: 'anna', data: 'other data' });
  assert.equal((await bert.must('left')).id, 'clara');
  assert.equal((await bert.must('joined')).id, 'dora');
  await anna.run(send, ['you are here']);
  await bert.must('message');
  const counts = await Promise.all(['joined', 'updated', 'left', 'closed'].map((type) => bert.count(type)));
  assert.deepEqual(counts, [2, 1, 1, 0]);
  assert.deepEqual([await anna.count('joined'), await anna.count('left')], [3, 1]);
});

everyClient('joins again if it was away for too long', {}, async (stage) => {
  // Every time is too long.
  const server = await stage.server(['--reclaim_timeout', '0']);
  const proxy = await stage.proxy(server);
  const { client: anna } = await entered(stage, server, 'anna');
  const { client: bert } = await entered(stage, server, 'bert', { through: proxy });
  await bert.run(update, 'the latest');

  proxy.cut();
  assert.equal((await anna.must('left')).id, 'bert');
  await bert.next('disconnected');
  assert.equal(await bert.run(failure, ['send', 'hello']), 'disconnected');
  await bert.reconnect();

  await anna.must('joined');
  assert.deepEqual(await anna.must('joined'), { id: 'bert', data: 'the latest' });
  await anna.run(send, ['welcome back']);
  assert.equal((await bert.must('message')).payload, 'welcome back');
  assert.deepEqual(await bert.run(members), [['anna', { name: 'anna' }], ['bert', 'the latest']]);
});

onStage('a member that has sent too much is in its room again a little later', async (stage) => {
  const server = await stage.server(['--reclaim_timeout', '0', '--room_members', '10', '--room_deliveries_per_second', '1']);
  const proxy = await stage.proxy(server);
  const { client: anna } = await entered(stage, server, 'anna', { version: '1.5.5' });
  const { client: bert } = await entered(stage, server, 'bert', { version: '1.5.5', through: proxy });
  assert.equal((await anna.must('joined')).id, 'bert');
  while (await bert.run(failure, ['send', 'hello']) !== 'too_fast');

  proxy.cut();
  assert.equal((await anna.must('left')).id, 'bert');
  await bert.next('disconnected');
  await bert.reconnect();

  assert.equal((await anna.must('joined')).id, 'bert');
  assert.equal(await bert.count('closed'), 0);
});

everyClient('leaves for good, also while it is away', {}, async (stage) => {
  const server = await stage.server([]);
  const proxy = await stage.proxy(server);
  const { client: anna } = await entered(stage, server, 'anna');
  const { client: bert } = await entered(stage, server, 'bert', { through: proxy });

  proxy.cut();
  await bert.next('disconnected');
  await bert.run(leave);
  await bert.reconnect();
  assert.equal((await anna.must('left')).id, 'bert');
  await bert.run(leave);
  assert.equal(await bert.count('closed'), 1);

  await bert.run(() => window.harness.thePeer().destroy());
  assert.equal(await bert.run(failure, ['send', 'hello']), 'not_member');
  await anna.run(() => window.harness.thePeer().destroy());
  assert.equal((await anna.next('closed')).detail, 'disconnected');
});

everyClient('calls everybody in one mesh, and each only once', { firefox: isThorough }, async (stage) => {
  const server = await stage.server([]);
  const names = ['anna', 'bert', 'clara'];
  const clients = [];
  for (const name of names) clients.push((await entered(stage, server, name)).client);
  const [anna, bert, clara] = clients;
  const pictures = async (client) => [(await client.must('picture')), (await client.must('picture'))].sort();

  await Promise.all(clients.map((client) => client.run(callEverybody)));
  const { client: stranger } = await entered(stage, server, 'stranger');
  for (const name of names) await stranger.run(intrude, name);

  for (const [at, client] of clients.entries()) assert.deepEqual(await pictures(client), names.toSpliced(at, 1));
  // Firefox shows no frames.
  const offers = clients.map(({ frames }) => frames.filter(({ way, type }) => way === 'sent' && type === 'OFFER').length);
  if (stage.browser === 'chromium') assert.deepEqual(offers, [2, 1, 0]);

  await anna.run(hangUp);
  for (const client of [bert, clara]) assert.equal(await client.must('hung up'), 'anna');
  await anna.run(callEverybody);
  assert.deepEqual(await pictures(anna), ['bert', 'clara']);
  for (const client of [bert, clara]) assert.equal(await client.must('picture'), 'anna');
  assert.equal(await stranger.count('intruded'), 0);
});

onStage('a call goes on after a member was away for too long, whoever has the smaller id', async (stage) => {
  const server = await stage.server(['--reclaim_timeout', '0']);
  const proxies = [await stage.proxy(server), await stage.proxy(server)];
  const version = '1.5.5';
  const { client: anna } = await entered(stage, server, 'anna', { version, through: proxies[0] });
  const { client: bert } = await entered(stage, server, 'bert', { version, through: proxies[1] });
  await Promise.all([anna.run(callEverybody), bert.run(callEverybody)]);
  await Promise.all([anna.must('picture'), bert.must('picture')]);

  for (const [at, [away, other]] of [[anna, bert], [bert, anna]].entries()) {
    proxies[at].cut();
    await other.must('hung up');
    await away.next('disconnected');
    await away.reconnect();

    await Promise.all([away.must('picture'), other.must('picture')]);
  }
});

/** How a call that is given this ends: its error, without the numbers of a size. */
const outcome = async ([what, how]) => {
  const circular = { name: 'itself' };
  circular.self = circular;
  /** @type {import('../../client/types/rooms.js').Room} */
  const room = window.room;
  const peer = window.harness.thePeer();
  const values = {
    Blob: new Blob(['x']), ArrayBuffer: new ArrayBuffer(2), Uint8Array: new Uint8Array(2), Map: new Map(), Set: new Set(), RegExp: /x/,
    Promise: Promise.resolve(), function: () => {}, symbol: Symbol('x'), bigint: 1n, NaN: NaN, circular, hole: [undefined],
    large: 'ä'.repeat(900), number: 5, peer, text: 'lobby', nothing: undefined, null: null,
  };
  const value = values[what];
  const { joinRoom } = window.rooms;
  const calls = {
    send: () => room.send(value),
    // @ts-expect-error: the types say so too.
    'send directly': () => room.send(new Map()),
    'send inside': () => room.send({ list: [{ at: value }] }),
    'send to': () => room.send('x', value),
    update: () => room.update(value),
    'join with': () => joinRoom(peer, 'other', value),
    'join room': () => joinRoom(peer, value),
    'join as': () => joinRoom(value, 'lobby'),
    call: () => room.callEverybody(new MediaStream(), value),
    'call with': () => room.callEverybody(value),
  };
  return calls[how]().then(() => 'none', ({ name, type, message }) => [name, type, message].filter(Boolean).join(': '));
};

onStage('what a room cannot carry, and wrong arguments, are told in errors that say what is wrong', async (stage) => {
  const server = await stage.server(['--max_message_bytes', '1000']);
  const { client: anna } = await entered(stage, server, 'anna', { version: '1.5.5' });
  const { client: bert } = await entered(stage, server, 'bert', { version: '1.5.5' });
  await anna.run(async (url) => (window.rooms = await import(url)), urlOf(server, 'rooms.mjs'));
  const json = (name, what) => `TypeError: A room carries JSON only, but "${name}" is ${what}`;
  const large = /^RoomError: too_big: The message has 18\d\d bytes, and the server takes at most 1000 \(--max_message_bytes\)$/;

  for (const [value, how, expected] of /** @type {[string, string, string | RegExp][]} */ ([
    ['Blob', 'send', json('payload', 'a Blob')],
    ['ArrayBuffer', 'send', json('payload', 'an ArrayBuffer')],
    ['Uint8Array', 'send', json('payload', 'a Uint8Array')],
    ['Map', 'send', json('payload', 'a Map')],
    ['Set', 'send', json('payload', 'a Set')],
    ['RegExp', 'send', json('payload', 'a RegExp')],
    ['Promise', 'send', json('payload', 'a Promise')],
    ['function', 'send', json('payload', 'a function')],
    ['symbol', 'send', json('payload', 'Symbol(x)')],
    ['bigint', 'send', json('payload', '1n')],
    ['circular', 'send', /^TypeError: .*(circular|cyclic)/i],
    ['hole', 'send', json('0', 'undefined')],
    ['Map', 'send directly', json('payload', 'a Map')],
    ['Blob', 'send inside', json('at', 'a Blob')],
    ['NaN', 'send inside', json('at', 'NaN')],
    ['Map', 'update', json('data', 'a Map')],
    ['Map', 'join with', json('data', 'a Map')],
    ['Map', 'call', json('data', 'a Map')],
    ['nothing', 'call with', 'TypeError: callEverybody(stream) needs a MediaStream, as await getUserMedia(…) gives one, not undefined'],
    ['Promise', 'call with', 'TypeError: callEverybody(stream) needs a MediaStream, as await getUserMedia(…) gives one, not a Promise'],
    ['large', 'send', large],
    ['large', 'send inside', large],
    ['large', 'update', large],
    ['number', 'send to', 'TypeError: The id of a member is a string, not 5'],
    ['null', 'send to', 'TypeError: The id of a member is a string, not null'],
    ['number', 'join room', 'TypeError: The name of a room is a string, not 5'],
    ['nothing', 'join room', 'TypeError: The name of a room is a string, not undefined'],
    ['nothing', 'join as', 'TypeError: joinRoom(peer, name) needs a Peer of PeerJS, not undefined'],
    ['text', 'join as', 'TypeError: joinRoom(peer, name) needs a Peer of PeerJS, not "lobby"'],
  ])) {
    const told = await anna.run(outcome, [value, how]);
    if (typeof expected === 'string') assert.equal(told, expected, `${how} ${value}`);
    else assert.match(told, expected, `${how} ${value}`);
  }

  // All that JSON can hold arrives as it is, on the same connection.
  const payload = { text: 'ä', list: [1, -2.5, null, true, []], nested: { deep: {} } };
  await anna.run(send, [payload]);
  assert.deepEqual((await bert.must('message')).payload, payload);
  assert.equal(await anna.count('disconnected'), 0);
});

everyClient('joins a room in the event with which the peer opens', {}, async (stage) => {
  const server = await stage.server([]);
  await entered(stage, server, 'anna');
  const client = await stage.client();

  const ids = await client.run(async ({ url, options }) => {
    const { joinRoom } = await import(url);
    const peer = new Peer('bert', options);
    const joined = new Promise((done) => peer.on('open', () => done(joinRoom(peer, 'lobby'))));
    const room = await joined;
    const ids = [...room.members.keys()];
    peer.destroy();
    return ids;
  }, { url: urlOf(server, 'rooms.mjs'), options: { host: server.host, port: server.port, path: '/', config: { iceServers: [] } } });

  assert.deepEqual(ids, ['anna', 'bert']);
});

onStage('the example of docs/USE.md works', async (stage) => {
  const server = await stage.server([]);
  const [anna, other] = [await stage.client('1.5.5'), await stage.client('1.5.5')];
  const said = [];
  anna.listen('console', (message) => said.push(message.text()));
  for (const client of [anna, other]) {
    await client.loadServed(server);
    await client.run(loadScript, urlOf(server, 'rooms.js'));
    await client.run((source) => {
      const AsyncFunction = /** @type {any} */ (async () => {}).constructor;
      const record = (name) => (id) => window.log.record(name, id);
      return AsyncFunction('show', 'hide', source)(record('shown'), record('hidden'));
    }, listing('docs/USE.md', 'callEverybody'));
  }

  for (const client of [anna, other]) await client.must('shown');
  await other.close();
  await anna.must('hidden');
  assert.deepEqual(said.slice(0, 2), ['Anna has come', 'Anna: hello']);
});

onStage('a page is told why it is not in a room, and that it waits for an event that never comes', async (stage) => {
  const server = await stage.server([]);
  const client = await stage.client('1.5.5');
  const said = [];
  client.listen('console', (message) => said.push(message.text()));
  await client.run(loadScript, urlOf(server, 'rooms.js'));
  const options = { host: server.host, port: server.port, path: '/' };
  const errors = await client.run(async (options) => {
    const texts = [];
    const note = ({ type, message }) => texts.push(`${type}: ${message}`);
    await window.joinRoom(new Peer('anna', { ...options, key: 'nope' }), 'lobby').catch(note);
    const peer = new Peer('bert', options);
    const room = await window.joinRoom(peer, 'lobby');
    room.on('join', () => {});
    await room.leave();
    await room.send('hello').catch(note);
    peer.destroy();
    return texts;
  }, options);

  assert.deepEqual(errors, ['disconnected: The peer is destroyed: Invalid key provided', 'not_member: This page has left the room "lobby": join it again']);
  assert.deepEqual(said.filter((text) => text.startsWith('A room')), ['A room has no event "join": its events are joined, updated, left, message, host, seat, state, closed, stream, connected, data']);
});

onStage('a page that forgets to await a room or a call is told so', async (stage) => {
  const server = await stage.server([]);
  const client = await stage.client('1.5.5');
  await client.run(loadScript, urlOf(server, 'rooms.js'));
  const errors = await client.run(async (options) => {
    const texts = [];
    const note = (use) => {
      try {
        use();
      } catch ({ name, message }) {
        texts.push(`${name}: ${message}`);
      }
    };
    /** @type {any} */
    const promise = window.joinRoom(new Peer('anna', options), 'lobby');
    note(() => promise.on('joined', () => {}));
    note(() => promise.send('hello'));
    note(() => promise.members.size);
    const room = await promise;
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    /** @type {any} */
    const call = room.callEverybody(stream);
    note(() => call.on('stream', () => {}));
    await (await call).leave();
    await room.leave();
    return texts;
  }, { host: server.host, port: server.port, path: '/' });

  const told = (method) => `TypeError: ${method} returns a promise: write await ${method}(…), in an async function or a module`;
  assert.deepEqual(errors, [...Array(3).fill(told('joinRoom')), told('callEverybody')]);
});

onStage('a page is told that its peer has joined a room twice, but not when it has left the room before', async (stage) => {
  const server = await stage.server([]);
  const client = await stage.client('1.5.5');
  const said = [];
  client.listen('console', (message) => said.push(message.text()));
  await client.run(loadScript, urlOf(server, 'rooms.js'));
  const run = (script) => client.run(script, { host: server.host, port: server.port, path: '/' });
  await run(async (options) => {
    const [peer, other] = [new Peer('anna', options), new Peer('bert', options)];
    window.peers = [peer, other];
    window.room = await window.joinRoom(peer, 'lobby');
    await window.joinRoom(other, 'lobby');
    await window.joinRoom(peer, 'other');
    // As an effect of React that runs twice.
    window.room.leave();
    window.room = await window.joinRoom(peer, 'lobby');
  });
  const warnings = () => said.filter((text) => text.includes('already'));
  assert.deepEqual(warnings(), []);
  await run(async () => {
    await window.joinRoom(window.peers[0], 'lobby');
    window.peers.forEach((peer) => peer.destroy());
  });
  assert.deepEqual(warnings(), ['This peer has joined the room "lobby" already: use the room of the first joinRoom, or leave() it first']);
});

onStage('a page is told that a dev server without a proxy has no broker, of which PeerJS says nothing', async (stage) => {
  const server = await stage.server([]);
  const vite = await startBareVite();
  try {
    for (const version of ['1.0.0', '1.5.5']) {
      const client = await stage.client(version);
      await client.run(loadScript, urlOf(server, 'rooms.js'));
      const error = await client.run(async ({ host, port }) => {
        const peer = new Peer({ host, port, path: '/', key: 'peerjs' });
        return window.joinRoom(peer, 'lobby').then(() => 'none', ({ name, type, message }) => ({ name, type, message }));
      }, { host: vite.host, port: vite.port });

      assert.deepEqual([error.name, error.type], ['RoomError', 'no_answer']);
      assert.match(error.message, /^The answer of http:\/\/127\.0\.0\.1:\d+\/peerjs\/id is a page, not an id: "<!doctype html>.*"\. No broker is there: have the server pass \/ on, or /);
    }
  } finally {
    await vite.stop();
  }
});

onStage('a page is told in one error that a server has no rooms', async (stage) => {
  const server = await stage.server([]);
  const other = await stage.server([], { program: npmServer });
  const client = await stage.client('1.5.5');
  await client.open(other, 'anna');

  await client.run(loadScript, urlOf(server, 'rooms.js'));
  const error = await client.run(() => {
    return window.joinRoom(window.harness.thePeer(), 'lobby').then(() => 'none', ({ name, type, message }) => ({ name, type, message }));
  });

  assert.deepEqual([error.name, error.type], ['RoomError', 'no_answer']);
  assert.match(error.message, /Rooms need peerbroker: peerjs-server ignores such messages/);
  assert.equal(await client.count('disconnected'), 0);
});

onStage('a message of the app to a room has no sender', async (stage) => {
  const server = await stage.server(['--ops_port', '0', '--admin_token', TOKEN]);
  const { api } = await dashboardOf(server);
  const { client } = await entered(stage, server, 'anna', { version: '1.5.5' });

  assert.equal((await api('POST', '/api/keys/peerjs/rooms/lobby/messages', 'it begins')).status, 202);

  assert.deepEqual(await client.must('message'), { from: null, payload: 'it begins', isPrivate: false });
});

onStage('a refusal rejects with its name, and a room is joined as soon as the peer is open', async (stage) => {
  const server = await stage.server(['--room_members', '2']);
  await entered(stage, server, 'anna', { version: '1.5.5' });
  const client = await stage.client('1.5.5');
  await client.start(server, 'bert');
  // Before the peer is open.
  await client.run(enter, { url: urlOf(server, 'rooms.mjs'), name: 'lobby', data: null });
  assert.deepEqual(await client.run(members), [['anna', { name: 'anna' }], ['bert', null]]);

  const late = await stage.client('1.5.5');
  await late.open(server, 'clara');
  const refused = await late.run(async (url) => {
    const { joinRoom } = await import(url);
    const joined = (name) => joinRoom(window.harness.thePeer(), name).then(() => 'none', ({ type }) => type);
    return [await joined('lobby'), await joined('x'.repeat(100))];
  }, urlOf(server, 'rooms.mjs'));
  assert.deepEqual(refused, ['room_full', 'invalid_room']);
});
