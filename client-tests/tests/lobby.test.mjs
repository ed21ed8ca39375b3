// The lobby: people with one link see each other come and go, chat, and call each other.

import assert from 'node:assert/strict';
import { localLink, says, scan } from '../lib/demos.mjs';
import { startProxy } from '../lib/frozen-proxy.mjs';
import { fits, scrollsToItsEnd } from '../lib/layout.mjs';
import { refuse } from '../lib/video.mjs';
import { UNREACHABLE, desktop, phone, smallPhone, urlOf, visit, visitAtNight } from '../lib/visit.mjs';
import { within } from '../lib/within.mjs';

const LOBBY = '/broker/lobby/';

/** Opens the lobby and enters it with this name. */
async function enter(visit, device, url, name) {
  return enterOn(await visit.open(device, url), device, name);
}

async function enterOn(page, device, name) {
  await page.getByLabel('Your name').fill(name);
  await page.getByRole('button', { name: 'Enter the lobby' })[device.press]();
  await tile(page, `${name} (you)`).waitFor();
  return page;
}

const tile = (page, name) => page.locator('#people li', { has: page.locator('.name', { hasText: name }) });
const hears = (page, text) => page.locator('#messages p', { hasText: text }).waitFor();

/** Waits for new frames of the picture of these people. */
async function sees(page, ...names) {
  for (const name of names) {
    await within(`a moving picture of ${name}`, tile(page, name).locator('video:not([hidden])').evaluate(async (video) => {
      const start = video.currentTime;
      while (video.currentTime <= start || video.videoWidth === 0) await new Promise((next) => video.requestVideoFrameCallback(next));
    }));
  }
}

/** The width of the picture that a page asks its camera for. */
const pictureOf = (page) => page.evaluate(() => window.picture.width.ideal);

/** Checks that the tiles of a call leave nothing of the stage empty but gaps, and that no tile is outside. */
async function fillsTheStage(page) {
  const { empty, outside } = await page.evaluate(() => {
    const list = document.querySelector('#people');
    const stage = list.closest('section').getBoundingClientRect();
    const area = ({ width, height }) => width * height;
    const tiles = [...list.children].map((tile) => tile.getBoundingClientRect());
    const height = stage.bottom - list.getBoundingClientRect().top;
    const covered = tiles.map(area).reduce((sum, each) => sum + each);
    return { empty: 1 - covered / area({ width: stage.width, height }), outside: tiles.filter(({ bottom, right }) => bottom > stage.bottom + 1 || right > stage.right + 1).length };
  });
  assert.ok(empty < 0.15, `${Math.round(empty * 100)} % of the stage are empty`);
  assert.equal(outside, 0);
}

async function say(page, device, text) {
  await page.getByLabel('Message to everybody').fill(text);
  await page.getByRole('button', { name: 'Send' })[device.press]();
}

visit('a phone scans the code, and both see each other come, chat and go', async (visit) => {
  const server = await visit.server(['--path', '/myapp'], { tls: true });
  const anna = await enter(visit, desktop, urlOf(server, '/myapp/broker/lobby/', 'lan.test'), 'Anna');
  await says(anna, 'ready', 'Nobody else is here');
  const link = await scan(anna);
  assert.equal(link, await anna.locator('#join-link').getAttribute('href'));
  assert.match(link, /\/lobby\/#[0-9a-f]{16}$/);
  await scrollsToItsEnd(anna, '#join');

  const ben = await enter(visit, phone, link, 'Ben');
  await hears(anna, 'Ben has come in.');
  await says(anna, 'connected', '1 other is here');
  await says(ben, 'connected', '1 other is here');
  await tile(ben, 'Anna').waitFor();

  await say(anna, desktop, 'hello <b>Ben</b>');
  await hears(ben, 'Anna hello <b>Ben</b>');
  await hears(anna, 'You hello <b>Ben</b>');
  await say(ben, phone, 'hello Anna');
  await hears(anna, 'Ben hello Anna');

  await ben.close();
  await hears(anna, 'Ben has left.');
  await says(anna, 'ready', 'Nobody else is here');
  assert.equal(await anna.locator('#people li').count(), 1);
});

visit('a lobby that is shown to those near is a tap away', async (visit) => {
  const server = await visit.server(['--allow_discovery', 'near']);
  const anna = await enter(visit, desktop, urlOf(server, LOBBY), 'Anna');
  await anna.getByText('Nobody else on this network shows a lobby.').waitFor();
  const ben = await enter(visit, phone, urlOf(server, LOBBY), 'Ben');
  await ben.getByText('Nobody else on this network shows a lobby.').waitFor();
  const show = anna.getByRole('button', { name: 'Show this lobby to those near' });
  assert.equal(await show.getAttribute('aria-pressed'), 'false');

  await show.click();
  await ben.getByRole('button', { name: 'Enter the lobby of Anna' }).tap();

  await hears(anna, 'Ben has come in.');
  await tile(ben, 'Anna').waitFor();
  await says(ben, 'connected', '1 other is here');
  assert.equal(new URL(ben.url()).hash, new URL(anna.url()).hash);
  await say(ben, phone, 'hello');
  await hears(anna, 'Ben hello');
  await show.click();
  const carl = await enter(visit, desktop, urlOf(server, LOBBY), 'Carl');
  await carl.getByText('Nobody else on this network shows a lobby.').waitFor();
});

visit('those near who enter the same PIN see each other\'s lobby', async (visit) => {
  const server = await visit.server(['--allow_discovery', 'pin']);
  const [anna, ben] = [await enter(visit, desktop, urlOf(server, LOBBY), 'Anna'), await enter(visit, phone, urlOf(server, LOBBY), 'Ben')];
  const look = async (page, { press }, pin) => {
    await page.getByLabel('A PIN that you agree on').fill(pin);
    await page.getByRole('button', { name: 'Look' })[press]();
    await page.getByText('Nobody else on this network shows a lobby.').waitFor();
  };
  await look(anna, desktop, '4821');
  await anna.getByRole('button', { name: 'Show this lobby to those near' }).click();
  await look(ben, phone, '1234');
  assert.equal(await ben.getByRole('button', { name: 'Enter the lobby of Anna' }).count(), 0);

  await ben.getByLabel('A PIN that you agree on').fill('4821');
  await ben.getByRole('button', { name: 'Look' }).tap();
  await ben.getByRole('button', { name: 'Enter the lobby of Anna' }).tap();

  await hears(anna, 'Ben has come in.');
});

visit('without discovery, a lobby shows nothing of those near', async (visit) => {
  const page = await enter(visit, desktop, urlOf(await visit.server(), LOBBY), 'Anna');
  assert.equal(await page.getByText('Near you').isVisible(), false);
});

visitAtNight('a call that is asked for before the lobby is entered begins then', async (visit) => {
  const page = await visit.open(desktop, urlOf(await visit.server(), LOBBY));
  await page.getByLabel('Your name').fill('Anna');
  // In one step of the page, which cannot have an answer of the broker between.
  await page.evaluate(() => {
    document.querySelector('#enter form').requestSubmit();
    document.getElementById('call').click();
  });
  await page.locator('#people .in-call').waitFor();
});

visit('everybody calls everybody, on phones as on desks', async (visit) => {
  const server = await visit.server();
  const anna = await enter(visit, desktop, urlOf(server, LOBBY), 'Anna');
  const link = await localLink(anna);
  const ben = await enter(visit, phone, link, 'Ben');
  const clara = await enter(visit, smallPhone, link, 'Clara');
  const pages = /** @type {any[][]} */ ([[anna, desktop], [ben, phone], [clara, smallPhone]]);
  const dora = await enter(visit, desktop, link, 'Dora');

  for (const [page, device] of pages) {
    await page.getByRole('button', { name: 'Join the call' })[device.press]();
    await page.locator('#hang-up').waitFor();
    // To each of many goes a picture of its own, so it is a small one.
    assert.equal(await pictureOf(page), page === clara ? 640 : 1280);
  }

  await sees(anna, 'Anna', 'Ben', 'Clara');
  await sees(ben, 'Anna', 'Ben', 'Clara');
  await sees(clara, 'Anna', 'Ben', 'Clara');
  for (const [page, device] of pages) await fits(page, device);
  for (const [page] of pages) assert.equal(await pictureOf(page), 640);
  for (const [width, height] of [[1280, 800], [1920, 1080], [820, 1180]]) {
    await anna.setViewportSize({ width, height });
    await fillsTheStage(anna);
  }
  assert.equal(await dora.locator('#people .in-call').count(), 0);

  await ben.getByRole('button', { name: 'Mute' }).tap();
  await tile(anna, 'Ben').getByText('muted').waitFor();
  await ben.getByRole('button', { name: 'Turn camera off' }).tap();
  await tile(clara, 'Ben').locator('.initial').waitFor();

  await ben.getByRole('button', { name: 'Leave the call' }).tap();
  for (const page of [anna, clara]) await tile(page, 'Ben').and(page.locator(':not(.in-call)')).waitFor();
  assert.equal(await ben.getByRole('button', { name: 'Join the call' }).isVisible(), true);
  await sees(anna, 'Clara');
  assert.equal(await pictureOf(anna), 1280);

  await ben.getByRole('button', { name: 'Join the call' }).tap();
  await sees(anna, 'Ben');
  await sees(ben, 'Anna', 'Clara');
});

visit('a lost network ends neither the lobby nor the call, and the others do not notice', async (visit) => {
  const server = await visit.server();
  const proxy = await visit.keep('proxies', startProxy(server.port));
  const anna = await enter(visit, desktop, `${urlOf(server, LOBBY)}#here`, 'Anna');
  const ben = await enter(visit, phone, `${urlOf(proxy, LOBBY)}#here`, 'Ben');
  for (const [page, press] of /** @type {any[][]} */ ([[anna, 'click'], [ben, 'tap']])) await page.locator('#call')[press]();
  await sees(ben, 'Anna');

  const again = ben.waitForEvent('websocket');
  proxy.cut();
  await again;
  await says(ben, 'connected', '1 other is here');

  await say(ben, phone, 'here again');
  await hears(anna, 'Ben here again');
  await sees(anna, 'Ben');
  assert.equal(await anna.locator('#messages', { hasText: 'has left' }).count(), 0);
});

visit('without a camera one can watch, and an insecure page says why', async (visit) => {
  const server = await visit.server();
  const anna = await enter(visit, desktop, `${urlOf(server, LOBBY)}#here`, 'Anna');
  const page = await visit.page(phone);
  await page.addInitScript(refuse, ['video']);
  await page.goto(`${urlOf(server, LOBBY)}#here`);
  const ben = await enterOn(page, phone, 'Ben');
  await anna.locator('#call').click();

  await ben.locator('#call').tap();
  await ben.locator('#prompt', { hasText: 'Camera and microphone are not allowed' }).waitFor();
  await fits(ben, phone);
  await ben.getByRole('button', { name: 'Only watch and listen' }).tap();

  await sees(ben, 'Anna');
  await tile(anna, 'Ben').getByText('muted').waitFor();
  assert.deepEqual([await ben.locator('#mute').isVisible(), await ben.locator('#prompt').isVisible()], [false, false]);

  const clara = await enter(visit, phone, `${urlOf(server, LOBBY, 'lan.test')}#here`, 'Clara');
  await clara.locator('#call').tap();
  await clara.locator('#prompt', { hasText: 'Camera and microphone need HTTPS' }).waitFor();
});

visitAtNight('a lobby that is full, or not allowed, says so', async (visit) => {
  const server = await visit.server(['--room_members', '1']);
  const anna = await enter(visit, desktop, `${urlOf(server, LOBBY)}#here`, 'Anna');
  const ben = await visit.open(phone, `${urlOf(server, LOBBY)}#here`);
  await ben.getByLabel('Your name').fill('Ben');
  await ben.getByRole('button', { name: 'Enter the lobby' }).tap();
  await ben.locator('#prompt', { hasText: 'The room is full.' }).waitFor();
  await says(ben, 'failed', 'Not in the lobby');

  await anna.close();
  await ben.getByRole('button', { name: 'Try again' }).tap();
  await says(ben, 'ready', 'Nobody else is here');
  assert.equal(await ben.locator('#prompt').isVisible(), false);

  await server.stop();
  visit.tolerate(UNREACHABLE);
  await says(ben, 'retrying', 'Reconnecting…');
  await say(ben, phone, 'still here?');
  await hears(ben, 'Not sent: There is no connection to the server.');
  assert.equal(await ben.getByLabel('Message to everybody').inputValue(), 'still here?');
});
