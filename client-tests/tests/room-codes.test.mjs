// Games with room codes: a host and players find each other by a code, with simple-peer.

import assert from 'node:assert/strict';
import { onStage } from '../lib/every-client.mjs';

onStage('a host and three players find each other by a code, and talk', async (stage) => {
  const { host, url, room } = await openRoom(stage);
  assert.match(room, /^[A-Z]{4}$/);

  const players = new Map();
  for (const username of ['ANNA', 'BEN', 'CLARA']) players.set(username, await join(stage, { url, room, username }));

  for (const [username, player] of players) {
    await meet(host, player, username);
    await talk(host, player, username);
  }
});

onStage('players may join all at once', async (stage) => {
  const { host, url, room } = await openRoom(stage);

  const names = ['ANNA', 'BEN', 'CLARA'];
  const players = await Promise.all(names.map((username) => join(stage, { url, room, username })));

  await Promise.all(players.map((player) => player.must('connected')));
  const met = [await host.must('connected'), await host.must('connected'), await host.must('connected')];
  assert.deepEqual(met.sort(), names);
  for (const [i, player] of players.entries()) await talk(host, player, names[i]);
});

onStage('after the start a player comes back by name, and a stranger does not come in', async (stage) => {
  const { host, url, room } = await openRoom(stage);
  const [anna, ben] = [await join(stage, { url, room, username: 'ANNA' }), await join(stage, { url, room, username: 'BEN' })];
  await meet(host, anna, 'ANNA');
  await meet(host, ben, 'BEN');
  await host.ask('start');
  await anna.close();

  const again = await join(stage, { url, room, username: 'ANNA' });

  await meet(host, again, 'ANNA');
  await talk(host, again, 'ANNA');
  const stranger = await join(stage, { url, room, username: 'DORA' });
  assert.equal(await stranger.must('refused'), 'no player');
  await talk(host, ben, 'BEN');
});

async function openRoom(stage) {
  const { socketUrl: url } = await stage.server();
  const host = await stage.page('rooms');
  const room = await host.ask('host', url);
  return { host, url, room };
}

async function join(stage, place) {
  const player = await stage.page('rooms');
  await player.ask('join', place);
  return player;
}

async function meet(host, player, name) {
  assert.equal(await player.must('connected'), 'host');
  assert.equal(await host.must('connected'), name);
}

/** Sends both ways over the data channel. */
async function talk(host, player, name) {
  await player.ask('say', { to: 'host', text: `I am ${name}` });
  assert.equal(await host.must('heard'), `${name}: I am ${name}`);
  await host.ask('say', { to: name, text: `you are ${name}` });
  assert.equal(await player.must('heard'), `host: you are ${name}`);
}
