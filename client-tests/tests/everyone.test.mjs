// All protocols at the same time on the same server.

import assert from 'node:assert/strict';
import { onStage } from '../lib/every-client.mjs';

onStage('serves peers of today, of 2014, a room and a call at once', async (stage) => {
  const server = await stage.server();

  await Promise.all([
    pair(stage, '1.5.5', server),
    pair(stage, '0.3.14', await stage.httpOnlyProxy(server)),
    room(stage, server.socketUrl),
    call(stage, server.socketUrl),
  ]);
});

async function pair(stage, version, server) {
  const [anna, ben] = [await stage.client(version), await stage.client(version)];
  await ben.open(server, `ben-${version.replaceAll('.', '-')}`);
  await anna.open(server);

  const line = await anna.connect(`ben-${version.replaceAll('.', '-')}`);

  assert.equal(await line.echo(`with ${version}`), `with ${version}`);
}

async function room(stage, url) {
  const [host, player] = [await stage.page('rooms'), await stage.page('rooms')];
  await player.ask('join', { url, room: await host.ask('host', url), username: 'BEN' });
  await player.must('connected');
  await host.must('connected');

  await player.ask('say', { to: 'host', text: 'in the room' });
  assert.equal(await host.must('heard'), 'BEN: in the room');
  await host.ask('say', { to: 'BEN', text: 'welcome' });
  assert.equal(await player.must('heard'), 'host: welcome');
}

async function call(stage, url) {
  const [anna, ben] = [await stage.page('calls'), await stage.page('calls')];
  await anna.ask('enter', url);
  const id = await ben.ask('enter', url);

  await anna.ask('call', id);

  await Promise.all([anna.must('moving picture'), ben.must('moving picture')]);
}
