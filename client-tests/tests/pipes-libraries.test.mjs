// Libraries that know nothing of pipes, over the other protocols of the broker: Yjs with y-webrtc, Trystero and RxDB, unchanged, where one page
// or both have no WebRTC.

import assert from 'node:assert/strict';
import { Page } from '../lib/page.mjs';
import { startPipePages } from '../lib/pipe-pages.mjs';
import { Stage, testOn } from '../lib/stage.mjs';

const PAIRS = {
  'one page without WebRTC': ['none', 'native'],
  'two pages without WebRTC': ['none', 'none'],
};

/** Two pages with a library, and the address of the broker for its WebSocket. */
function visit(name, engine, library, browsers, run) {
  testOn(`${name} (${engine})`, () => new Stage(), async (stage) => {
    const pipes = await stage.keep('proxies', startPipePages({ broker: await stage.server() }));
    for (const browser of browsers) await stage.keep('pages', Page.load(engine, pipes.page({ browser, library })));
    await run(stage.started.pages, pipes.url.replace('http', 'ws'));
    assert.equal(pipes.requests.length, 2, 'both ends of one pipe');
  });
}

for (const engine of ['chromium', 'firefox']) {
  for (const [name, browsers] of Object.entries(PAIRS)) {
    for (const password of [undefined, 'open sesame']) {
      visit(`Yjs with y-webrtc: ${name}${password ? ', with a password' : ''}`, engine, 'documents', browsers, async ([anna, ben], url) => {
        await anna.ask('open', { urls: [url], room: 'minutes', name: 'anna', password });
        await ben.ask('open', { urls: [url], room: 'minutes', name: 'ben', password });
        assert.deepEqual(await Promise.all([anna.must('met'), ben.must('met')]), ['ben', 'anna']);

        await anna.ask('write', { key: 'title', value: 'draft' });
        assert.equal(await ben.must('heard'), 'title: draft');
        await ben.ask('write', { key: 'note', value: 'thanks' });
        assert.equal(await anna.must('heard'), 'note: thanks');

        await ben.ask('leave');
        assert.equal(await anna.must('lost'), 'ben');
      });
    }

    visit(`Trystero over Nostr: ${name}`, engine, 'trystero', browsers, async ([anna, ben], url) => {
      for (const page of [anna, ben]) await page.ask('open', { urls: [url], id: 'lobby' });
      await Promise.all([anna.must('met'), ben.must('met')]);

      await anna.ask('tell', 'hello');
      assert.equal(await ben.must('heard'), 'hello');
      await ben.ask('tell', 'and back');
      assert.equal(await anna.must('heard'), 'and back');

      await ben.ask('leave');
      await anna.must('lost');
    });

    visit(`RxDB replicates 1,000 documents: ${name}`, engine, 'replica', browsers, async ([anna, ben], url) => {
      for (const page of [anna, ben]) await page.ask('open', { url: `${url}rxdb`, room: 'notes of May' });
      await Promise.all([anna.must('met'), ben.must('met')]);

      assert.equal(await anna.ask('add', { from: 0, count: 600 }), 0);
      assert.equal(await ben.ask('add', { from: 600, count: 400 }), 0);

      assert.deepEqual(await Promise.all([anna.ask('holds', 1000), ben.ask('holds', 1000)]), [1000, 1000]);
    });
  }
}
