// What rooms.js gives games: a host that moves, seats, and a state that all share.

import assert from 'node:assert/strict';
import { everyClient, onStage } from '../lib/every-client.mjs';
import { listing } from '../lib/listings.mjs';
import { freePort } from '../lib/shipped-proxy.mjs';
import { isThorough } from '../lib/thorough.mjs';
import { until, within } from '../lib/within.mjs';

/** A client whose page is in the room `game`. `through` is the way to the server. @param {any} stage @param {any} server @param {string} id @param {any} options */
async function player(stage, server, id, { through = server, version = undefined, token = undefined, ...options } = {}) {
  const client = await stage.client(version);
  await client.open(through, id, token && { token });
  await client.run(enter, { url: `http://${server.host}:${server.port}/rooms.mjs`, options });
  return client;
}

// These run in pages.

async function enter({ url, options }) {
  const { joinRoom } = await import(url);
  const room = window.room = await joinRoom(window.harness.thePeer(), 'game', undefined, options);
  for (const type of ['host', 'seat', 'state', 'message', 'left', 'closed']) {
    room.on(type, (event) => window.log.record(type, { ...event, isHost: room.isHost }));
  }
}

const facts = () => {
  const { room } = window;
  return { host: room.host, isHost: room.isHost, seat: room.seat, seats: [...room.seats].sort(), state: [...room.state].sort() };
};
const set = ([name, value]) => window.room.state.set(name, value).then(() => 'done', ({ type, message }) => type ?? message);
const remove = (name) => window.room.state.delete(name);
const buzz = (id) => window.room.state.update('buzz', (first) => first ?? id);
const count = () => window.room.state.update('count', (old = { n: 0 }) => {
  old.n += 1;
  return old;
});
/** Sets as many names; resolves to the refusals. */
const fill = async (names) => {
  const writes = Array.from({ length: names }, (_, number) => window.room.state.set(`name ${number}`, number));
  const outcomes = await Promise.allSettled(writes);
  return outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason.type] : []));
};
const leave = () => window.room.leave();
const send = (payload) => window.room.send(payload);

everyClient('agrees on host, seats and state', { firefox: isThorough }, async (stage) => {
  const server = await stage.server([]);
  const anna = await player(stage, server, 'anna');
  const phone = await player(stage, server, 'a phone', { host: false });
  const bert = await player(stage, server, 'bert');
  const seats = [['a phone', 2], ['anna', 1], ['bert', 3]];
  assert.deepEqual(await anna.run(facts), { host: 'anna', isHost: true, seat: 1, seats, state: [] });
  assert.deepEqual(await phone.run(facts), { host: 'anna', isHost: false, seat: 2, seats, state: [] });

  // Of two at once, one is the first, and both know which.
  const winners = await Promise.all([anna.run(buzz, 'anna'), phone.run(buzz, 'a phone')]);
  assert.equal(winners[0], winners[1]);
  await Promise.all([anna, phone, bert].flatMap((client) => [client.run(count), client.run(count)]));
  assert.equal(await bert.run(set, ['gone', [1]]), 'done');
  await bert.run(remove, 'gone');
  const state = [['buzz', winners[0]], ['count', { n: 6 }]];
  for (const client of [anna, phone, bert]) assert.deepEqual((await client.run(facts)).state, state);
  const gone = [];
  while (gone.length < 2) {
    const { name, value, former, from } = await anna.must('state');
    if (name === 'gone') gone.push([value ?? null, former ?? null, from]);
  }
  assert.deepEqual(gone, [[[1], null, 'bert'], [null, [1], 'bert']]);

  await anna.run(leave);
  assert.deepEqual(await phone.must('host'), { host: 'bert', former: 'anna', isHost: false });
  assert.deepEqual(await bert.must('host'), { host: 'bert', former: 'anna', isHost: true });
  const clara = await player(stage, server, 'clara');
  assert.deepEqual(await clara.run(facts), {
    host: 'bert', isHost: false, seat: 1, seats: [['a phone', 2], ['bert', 3], ['clara', 1]], state,
  });
  // The host is known before its message comes, and nobody is the host whose phone is the last.
  await bert.run(leave);
  await clara.run(send, 'I am the host');
  assert.equal((await phone.must('host')).host, 'clara');
  await clara.run(leave);
  assert.deepEqual(await phone.must('host'), { host: undefined, former: 'clara', isHost: false });
  assert.deepEqual((await phone.run(facts)).state, state);
});

everyClient('keeps its seat and hears the state that has changed while it was away', {}, async (stage) => {
  const server = await stage.server([]);
  const proxy = await stage.proxy(server);
  const anna = await player(stage, server, 'anna', { through: proxy });
  const bert = await player(stage, server, 'bert');
  for (const name of ['stays', 'goes', 'changes']) await bert.run(set, [name, 1]);
  for (let number = 0; number < 3; number += 1) await anna.must('state');

  proxy.cut();
  await anna.next('disconnected');
  await bert.run(remove, 'goes');
  await bert.run(set, ['changes', 2]);
  // It is away, and still the host.
  assert.equal((await bert.run(facts)).host, 'anna');
  await anna.reconnect();

  const changes = [await anna.must('state'), await anna.must('state')].map(({ name, value = null, former }) => [name, value, former]);
  assert.deepEqual(changes.sort(), [['changes', 2, 1], ['goes', null, 1]]);
  const { seat, state, isHost } = await anna.run(facts);
  assert.deepEqual({ seat, state, isHost }, { seat: 1, state: [['changes', 2], ['stays', 1]], isHost: true });
  assert.equal(await bert.count('host'), 0);
});

onStage('only the host writes where the room was made so, and a state has its bounds', async (stage) => {
  const server = await stage.server([]);
  const version = '1.5.5';
  const anna = await player(stage, server, 'anna', { version, writers: 'host' });
  const bert = await player(stage, server, 'bert', { version });
  assert.deepEqual([await anna.run(set, ['n', 1]), await bert.run(set, ['n', 2])], ['done', 'not_host']);
  await anna.run(leave);
  await bert.must('host');
  assert.equal(await bert.run(set, ['n', 2]), 'done');
  assert.equal(await bert.run(set, ['long', 'x'.repeat(66_000)]), 'state_full');
  assert.equal(await bert.run(set, ['', 1]), 'invalid_name');
  assert.equal(await bert.run(set, ['n']), 'The value of "n" is undefined: delete("n") takes a name away');
  assert.deepEqual((await bert.run(facts)).state, [['n', 2]]);
  // `n` is one of them.
  assert.deepEqual(await bert.run(fill, 256), ['state_full']);
});

onStage('a reload keeps the host, its seat and the state', async (stage) => {
  const server = await stage.server([]);
  const version = '1.5.5';
  const anna = await player(stage, server, 'anna', { version, token: 'of anna' });
  const bert = await player(stage, server, 'bert', { version });
  await anna.run(set, ['score', 3]);
  const before = await anna.run(facts);

  await anna.close();
  const again = await player(stage, server, 'anna', { version, token: 'of anna' });
  assert.deepEqual(await again.run(facts), before);
  assert.equal(await bert.count('host'), 0);
});

onStage('the host moves when its page is closed, or away for too long, and a seat is kept if it is free', async (stage) => {
  // Every time is too long.
  const server = await stage.server(['--reclaim_timeout', '0']);
  const proxy = await stage.proxy(server);
  const version = '1.5.5';
  const anna = await player(stage, server, 'anna', { version, through: proxy });
  const bert = await player(stage, server, 'bert', { version });
  const clara = await player(stage, server, 'clara', { version });

  proxy.cut();
  for (const client of [bert, clara]) assert.equal((await client.must('host')).host, 'bert');
  await anna.next('disconnected');
  await anna.reconnect();
  assert.deepEqual(await anna.must('host'), { host: 'bert', former: 'anna', isHost: false });
  assert.equal((await anna.run(facts)).seat, 1);

  await bert.close();
  assert.deepEqual(await anna.must('host'), { host: 'clara', former: 'bert', isHost: false });
  assert.deepEqual((await anna.run(facts)).seats, [['anna', 1], ['clara', 3]]);
});

onStage('a game goes on after a restart of the broker', async (stage) => {
  const flags = ['--port', String(await freePort())];
  const server = await stage.server(flags);
  const version = '1.5.5';
  const anna = await player(stage, server, 'anna', { version });
  const bert = await player(stage, server, 'bert', { version });
  await anna.run(set, ['score', { anna: 3 }]);
  await bert.must('state');

  server.signal('SIGKILL');
  await within('the server to end', server.exited);
  await stage.server(flags);
  for (const client of [bert, anna]) {
    await client.next('disconnected');
    await client.reconnect();
  }

  await anna.run(set, ['more', 1]);
  for (const client of [anna, bert]) {
    while ((await client.run(facts)).state.length < 2) await client.must('state');
    assert.deepEqual((await client.run(facts)).state, [['more', 1], ['score', { anna: 3 }]]);
    assert.equal((await client.run(facts)).host, 'bert');
  }
  assert.equal((await anna.run(facts)).seat, 1);
});

// These run in pages.

async function connect(options) {
  window.harness.thePeer().removeAllListeners('connection');
  const lines = window.lines = await window.room.connectEverybody(options);
  for (const type of ['connected', 'data', 'left']) lines.on(type, (event) => window.log.record(`${type} of all`, event));
}

const sendAll = ([data, to]) => window.lines.send(data, to);
const disconnectAll = () => window.lines.leave();
const isDirect = (id) => window.lines.isDirect(id);

/** As many members as a game has, all in one page: each sends at each frame of the screen. */
async function play({ url, options, members, frames }) {
  const { joinRoom } = await import(url);
  const players = [];
  let connected = 0;
  let heard = 0;
  let waiting = 0;
  for (let member = 0; member < members; member += 1) {
    const peer = new Peer(`player ${member}`, options);
    const room = await joinRoom(peer, 'crowd');
    const lines = await room.connectEverybody({ reliable: false });
    lines.on('connected', () => (connected += 1));
    lines.on('data', () => (heard += 1));
    players.push({ peer, lines });
  }
  const isDone = (count) => new Promise((done) => {
    const look = () => (count() ? done() : setTimeout(look, 20));
    look();
  });
  await isDone(() => connected === members * (members - 1));
  for (let frame = 0; frame < frames; frame += 1) {
    await new Promise(requestAnimationFrame);
    for (const { peer, lines } of players) {
      lines.send({ frame, x: 0.5, y: 0.25 });
      const all = Object.values(peer.connections).flat().map((line) => line.dataChannel?.bufferedAmount ?? 0);
      waiting = Math.max(waiting, ...all);
    }
  }
  await isDone(() => heard === members * (members - 1) * frames);
  players.forEach(({ peer }) => peer.destroy());
  return waiting;
}

everyClient('has a direct line to everybody, and the room until there is one', { firefox: isThorough }, async (stage) => {
  const server = await stage.server([]);
  const [anna, bert, clara] = [await player(stage, server, 'anna'), await player(stage, server, 'bert'), await player(stage, server, 'clara')];
  for (const client of [anna, bert, clara]) await client.run(connect, { reliable: true });
  for (const client of [anna, bert, clara]) for (let other = 0; other < 2; other += 1) await client.must('connected of all');

  const roomMessages = () => anna.frames.filter(({ type }) => type === 'ROOM-SEND').length;
  await anna.run(sendAll, [{ to: 'all' }]);
  await anna.run(sendAll, [{ to: 'clara' }, 'clara']);
  assert.deepEqual(await bert.must('data of all'), { from: 'anna', data: { to: 'all' } });
  assert.deepEqual([await clara.must('data of all'), await clara.must('data of all')].map(({ data }) => data.to), ['all', 'clara']);
  assert.equal(roomMessages(), 0);

  // A newcomer hears all from the first moment on, also before it has a line.
  const dora = await player(stage, server, 'dora');
  await dora.run(connect, { reliable: true });
  await anna.run(sendAll, [{ to: 'dora' }, 'dora']);
  assert.deepEqual(await dora.must('data of all'), { from: 'anna', data: { to: 'dora' } });
  await anna.must('connected of all');
  assert.equal(await anna.run(isDirect, 'dora'), true);

  await bert.run(disconnectAll);
  assert.equal((await anna.must('left of all')).id, 'bert');
  assert.equal(await anna.run(isDirect, 'bert'), false);
});

onStage('sixteen members send to all at each frame, and nothing waits', async (stage) => {
  const server = await stage.server([]);
  const client = await stage.client('1.5.5');
  const waiting = await client.run(play, {
    url: `http://${server.host}:${server.port}/rooms.mjs`,
    options: { host: server.host, port: server.port, path: '/', config: { iceServers: [] } },
    members: 16,
    frames: 60,
  });
  assert.ok(waiting < 64 * 1024, `${waiting} bytes waited`);
});

onStage('the example of docs/USE.md does what it says', async (stage) => {
  const server = await stage.server([]);
  const [anna, other] = [await stage.client('1.5.5'), await stage.client('1.5.5')];
  const said = [];
  for (const [name, client] of [['anna', anna], ['other', other]]) {
    client.listen('console', (message) => said.push(`${name}: ${message.text()}`));
    await client.loadServed(server);
    await client.run(async ([url, source]) => {
      await import(url);
      const AsyncFunction = /** @type {any} */ (async () => {}).constructor;
      return AsyncFunction(source)();
    }, [`http://${server.host}:${server.port}/rooms.js`, listing('docs/USE.md', 'connectEverybody')]);
  }
  const says = (text) => until(text, () => said.some((line) => line.includes(text)));
  for (const text of ['anna: you are player 1', 'other: you are player 2', 'anna: score is 2 by', 'anna: round is 1 by']) await says(text);
  await says('is at ');
  await anna.close();
  await says('other: you are the host');
});
