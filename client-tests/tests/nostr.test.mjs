// Rooms of Trystero, unchanged, whose pages find each other by Nostr at the root.

import assert from 'node:assert/strict';
import { onStage } from '../lib/every-client.mjs';

onStage('three pages of two browsers meet in a room, talk, and one goes and comes back', async (stage) => {
  const urls = [(await stage.server()).socketUrl];
  const anna = await open(stage, { urls });
  const ben = await open(stage, { urls, browser: 'firefox' });
  await meet([anna, ben]);
  const clara = await open(stage, { urls });
  await Promise.all([clara.must('met'), clara.must('met'), anna.must('met'), ben.must('met')]);

  await anna.ask('tell', 'hello');
  for (const page of [ben, clara]) assert.equal(await page.must('heard'), 'hello');

  await ben.ask('leave');
  for (const page of [anna, clara]) await page.must('lost');
  const again = await open(stage, { urls, browser: 'firefox' });
  await Promise.all([again.must('met'), again.must('met'), anna.must('met'), clara.must('met')]);
  await again.ask('tell', 'back');
  for (const page of [anna, clara]) assert.equal(await page.must('heard'), 'back');
});

onStage('pages of another room, password or key do not meet', async (stage) => {
  const keys = stage.keys();
  for (const key of ['app', 'other']) await keys.add(key);
  const server = await stage.server(keys.flags);
  const urls = [`${server.socketUrl}?key=app`];
  const strangers = [
    await open(stage, { urls, id: 'another room' }),
    await open(stage, { urls, password: 'a guess' }),
    await open(stage, { urls: [`${server.socketUrl}?key=other`] }),
  ];
  const pages = [await open(stage, { urls }), await open(stage, { urls })];
  await meet(pages);
  await server.stop();

  await pages[0].ask('tell', 'without a server');

  assert.equal(await pages[1].must('heard'), 'without a server');
  for (const stranger of strangers) assert.equal(await stranger.ask('count', 'met'), 0);
});

const meet = (pages) => Promise.all(pages.map((page) => page.must('met')));

/** A page that joins a room. */
async function open(stage, { urls, id = 'lobby', password = undefined, browser = 'chromium' }) {
  const page = await stage.page('trystero', undefined, browser);
  await page.ask('open', { urls, id, password });
  return page;
}
