// Shared documents: y-webrtc with Yjs, unchanged, finds its peers by topics at the root.

import assert from 'node:assert/strict';
import { onStage } from '../lib/every-client.mjs';
import { Network } from '../lib/network.mjs';
import { onNetwork } from '../lib/on-network.mjs';

onStage('four pages of two browsers share a document and know each other; one goes and comes back', async (stage) => {
  const urls = [(await stage.server()).socketUrl];
  const pages = {};
  for (const [name, browser] of [['anna', 'chromium'], ['ben', 'firefox'], ['clara', 'chromium'], ['david', 'firefox']]) {
    await join(name, browser);
  }
  await pages.anna.ask('write', { key: 'title', value: 'draft' });
  for (const name of ['ben', 'clara', 'david']) assert.equal(await pages[name].must('heard'), 'title: draft');

  await pages.ben.ask('leave');
  delete pages.ben;
  for (const page of Object.values(pages)) assert.equal(await page.must('lost'), 'ben');
  await pages.david.ask('write', { key: 'title', value: 'final' });
  await join('ben', 'firefox');
  // It hears what it has missed.
  assert.equal(await pages.ben.must('heard'), 'title: final');
  await pages.ben.ask('write', { key: 'note', value: 'thanks' });
  assert.equal(await pages.anna.must('heard'), 'title: final');
  assert.equal(await pages.anna.must('heard'), 'note: thanks');
  assert.deepEqual(await pages.clara.ask('read'), { title: 'final', note: 'thanks' });

  /** Opens a page. Everybody meets everybody: the state of each is known to all. */
  async function join(name, browser) {
    const there = Object.keys(pages).sort();
    pages[name] = await open(stage, { urls, name, browser });
    const met = await Promise.all(there.map(() => pages[name].must('met')));
    assert.deepEqual(met.sort(), there);
    for (const other of there) assert.equal(await pages[other].must('met'), name);
  }
});

onStage('pages know of each other, and share a document with a password', async (stage) => {
  const urls = [(await stage.server()).socketUrl];
  const password = 'open sesame';
  const anna = await open(stage, { urls, name: 'anna', password });
  const ben = await open(stage, { urls, name: 'ben', password });
  const stranger = await open(stage, { urls, name: 'stranger', password: 'a guess' });

  assert.deepEqual(await Promise.all([anna.must('met'), ben.must('met')]), ['ben', 'anna']);
  await anna.ask('write', { key: 'a', value: 1 });
  assert.equal(await ben.must('heard'), 'a: 1');
  assert.deepEqual(await stranger.ask('read'), {});
});

onNetwork('without a direct path, a document is shared through the relay', () => Network.apart(), async (stage) => {
  const server = await stage.server(['--relay', stage.network.address]);
  const urls = [`ws://${server.host}:${server.port}/`];
  const [anna, ben] = [await stage.page('a', 'documents'), await stage.page('b', 'documents')];
  await anna.ask('open', { urls, room: 'minutes of May', name: 'anna' });
  await ben.ask('open', { urls, room: 'minutes of May', name: 'ben' });
  assert.deepEqual(await Promise.all([anna.must('met'), ben.must('met')]), ['ben', 'anna']);

  await anna.ask('write', { key: 'a', value: 1 });

  assert.equal(await ben.must('heard'), 'a: 1');
});

/** A page that has opened the document of the room. */
async function open(stage, { urls, name, password = undefined, browser = 'chromium' }) {
  const page = await stage.page('documents', undefined, browser);
  await page.ask('open', { urls, room: 'minutes of May', name, password });
  await page.must('opened');
  return page;
}
