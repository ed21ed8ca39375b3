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
