// Calls without a library: RTCPeerConnection and a WebSocket, like the code of tutorials.

import assert from 'node:assert/strict';
import { onStage } from '../lib/every-client.mjs';

const ID = /^[\w-]{21}$/;

for (const tls of [false, true]) {
  onStage(`two pages call each other over ${tls ? 'wss' : 'ws'}`, async (stage) => {
    const { socketUrl } = await stage.server([], { tls });
    const [anna, ben] = [await stage.page('calls'), await stage.page('calls')];
    const [annas, bens] = [await anna.ask('enter', socketUrl), await ben.ask('enter', socketUrl)];
    assert.match(annas, ID);
    assert.match(bens, ID);
    assert.notEqual(annas, bens);

    await anna.ask('call', bens);

    assert.equal(await ben.must('call'), annas);
    await Promise.all([anna.must('moving picture'), ben.must('moving picture')]);
    const both = { sent: ['audio', 'video'], received: ['audio', 'video'] };
    assert.deepEqual([await anna.ask('media'), await ben.ask('media')], [both, both]);
  });
}

onStage('an action of its own reaches the other page without the id', async (stage) => {
  const { anna, ben, bens } = await twoPages(stage);
  const data = { reason: 'dinner', 'and so': [1, null, { remoteId: 'stays here' }] };

  await anna.ask('say', { action: 'hangup', data: { remoteId: bens, ...data } });

  assert.deepEqual(JSON.parse(await ben.must('hangup')), { action: 'hangup', data });
});

onStage('a call to an unknown id is answered by nobody, and the caller stays', async (stage) => {
  const { anna, annas, ben, bens } = await twoPages(stage);

  await anna.ask('say', { action: 'offer', data: { remoteId: 'nobody-has-this-id-xx', offer: {} } });
  await anna.ask('say', { action: 'hangup', data: { remoteId: 'nobody-has-this-id-xx' } });

  // A misdelivered frame would have arrived before this later one.
  await anna.ask('say', { action: 'hangup', data: { remoteId: bens } });
  await ben.must('hangup');
  await ben.ask('say', { action: 'hangup', data: { remoteId: annas } });
  await anna.must('hangup');
  assert.equal(await anna.story(), `id ${annas}, hangup {"action":"hangup","data":{}}`);
  assert.equal(await ben.story(), `id ${bens}, hangup {"action":"hangup","data":{}}`);
});

onStage('a page that starts again gets another id, and is called there', async (stage) => {
  const { anna, ben, bens } = await twoPages(stage);

  await ben.ask('say', { action: 'start' });
  const fresh = await ben.must('id');

  assert.match(fresh, ID);
  assert.notEqual(fresh, bens);
  await anna.ask('say', { action: 'hangup', data: { remoteId: fresh } });
  await ben.must('hangup');
});

async function twoPages(stage) {
  const { socketUrl } = await stage.server();
  const [anna, ben] = [await stage.page('calls'), await stage.page('calls')];
  return { anna, annas: await anna.ask('enter', socketUrl), ben, bens: await ben.ask('enter', socketUrl) };
}
