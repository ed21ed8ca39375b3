// Makes the pictures of the built-in pages for the README and the documentation: `npm run pictures`.

import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { launchChromium } from './lib/chromium.mjs';
import { dashboardOf } from './lib/dashboard.mjs';
import { startServer } from './lib/server.mjs';

const folder = join(import.meta.dirname, '../docs/pictures');
const LARGEST = 200_000;

// A name as in a home network; it resolves to this machine.
const HOME = '192.168.1.20:9000';

const desk = { viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce' };
const hand = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, reducedMotion: 'reduce' };

const server = await startServer(['--ops_port', '0']);
const browser = await launchChromium({ [HOME]: `127.0.0.1:${server.port}` });
try {
  await mkdir(folder, { recursive: true });
  await save('landing.png', await landing());
  await save('slides.png', await slides());
  await save('party.png', await party());
  await save('call.png', await call());
  await save('dashboard.png', await dashboard());
} finally {
  await browser.close();
  await server.stop();
}

async function open(context, url) {
  const page = await browser.newPage(context);
  await page.goto(url);
  return page;
}

async function landing() {
  const page = await open(desk, `http://${HOME}/broker/`);
  // The first run only warms up; its times are not shown.
  for (const label of ['Test this broker', 'Test again']) {
    await page.getByRole('button', { name: label }).click();
    await page.locator('#test-summary[data-state="ok"]').waitFor();
  }
  await page.mouse.move(0, 0);
  const { y, height } = await page.locator('.test').boundingBox();
  await page.setViewportSize({ ...desk.viewport, height: Math.ceil(y + height) + 40 });
  return page.screenshot();
}

async function slides() {
  const presenter = await open(desk, `http://${HOME}/broker/slides/`);
  await presenter.locator('#qr svg').waitFor();
  const remote = await open(hand, await presenter.locator('#join-link').getAttribute('href'));
  await remote.locator('#status[data-state="connected"]').waitFor();
  for (let turn = 0; turn < 4; turn += 1) await presenter.keyboard.press('ArrowRight');
  await remote.locator('#remote-title', { hasText: 'The broker steps aside' }).waitFor();
  await presenter.locator('#status[data-state="connected"]').waitFor();
  await presenter.getByRole('button', { name: 'Show code' }).click();
  await presenter.mouse.move(0, 0);
  return sideBySide(await presenter.screenshot(), await remote.screenshot());
}

async function party() {
  const host = await open(desk, `http://${HOME}/broker/party/`);
  await host.locator('#qr svg').waitFor();
  const phones = [];
  for (const name of ['Anna', 'Ben', 'Cleo']) {
    const player = await open(hand, await host.locator('#join-link').getAttribute('href'));
    await player.locator('#name').fill(name);
    await player.locator('#take-seat').tap();
    await player.locator('#status[data-state="connected"]').waitFor();
    phones.push(player);
  }
  await host.locator('#start').click();
  await host.mouse.move(0, 0);
  await host.locator('#clock', { hasText: '0:35' }).waitFor();
  return sideBySide(await host.screenshot(), await phones[1].screenshot());
}

async function call() {
  // Cameras need a secure page.
  const callee = await open(desk, `http://127.0.0.1:${server.port}/broker/call/`);
  await callee.locator('#status[data-state="ready"]').waitFor();
  const caller = await open(hand, await callee.locator('#local-link').evaluate((/** @type {HTMLAnchorElement} */ link) => link.href));
  await callee.getByRole('button', { name: 'Accept' }).click();
  for (const page of [callee, caller]) {
    await page.locator('#remote').evaluate(async (/** @type {HTMLVideoElement} */ video) => {
      while (video.videoWidth === 0) await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    });
  }
  await callee.mouse.move(0, 0);
  return sideBySide(await callee.screenshot(), await caller.screenshot());
}

/** The dashboard while clients come, talk and make a mistake. */
async function dashboard() {
  const { url, api } = await dashboardOf(server, null);
  await api('POST', '/api/keys', { key: 'chess', name: 'My chess club', concurrent_limit: 500 });
  const screen = await open(desk, url);
  const handheld = await open({ ...hand, colorScheme: 'dark' }, url);
  const crowd = await open(desk, `http://127.0.0.1:${server.port}/broker/`);
  const talk = crowd.evaluate(async ({ port, seconds }) => {
    const NAMES = ['anna', 'ben', 'cleo', 'dora', 'emil', 'finn', 'greta', 'hugo', 'ida', 'jona', 'kaja', 'lars', 'mila', 'nils'];
    const open = (id, key) => new WebSocket(`ws://127.0.0.1:${port}/peerjs?${new URLSearchParams({ key, id, token: 't' })}`);
    const clients = [];
    for (let tick = 0; tick < seconds * 2; tick += 1) {
      if (tick % 5 === 0 && NAMES[tick / 5]) clients.push(open(NAMES[tick / 5], 'chess'));
      if (tick % 24 === 12) open(`guest-${tick}`, 'ches');
      const busy = clients.slice(0, 2 + (tick % 9)).filter(({ readyState }) => readyState === WebSocket.OPEN);
      for (const client of busy) client.send(JSON.stringify({ type: 'CANDIDATE', dst: 'anna', payload: {} }));
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }, { port: server.port, seconds: 60 });
  for (const page of [screen, handheld]) await page.getByText('nils connected').waitFor({ timeout: 120_000 });
  await screen.mouse.move(0, 0);
  const pictures = [await screen.screenshot(), await handheld.screenshot()];
  await talk;
  return sideBySide(...pictures);
}

async function sideBySide(screen, handheld) {
  const image = (png, name) => `<img class="${name}" src="data:image/png;base64,${png.toString('base64')}">`;
  const page = await browser.newPage({ viewport: { width: 1600, height: 900 } });
  await page.setContent(`
    <style>
      body { display: flex; gap: 40px; align-items: center; margin: 0; padding: 40px; background: #dfe6e7; width: max-content }
      img { box-shadow: 0 12px 40px #17212b33 }
      .screen { border-radius: 14px }
      .hand { height: 682px; border: 9px solid #17212b; border-radius: 42px }
    </style>
    ${image(screen, 'screen')}${image(handheld, 'hand')}`);
  return page.locator('body').screenshot();
}

async function save(name, png) {
  const file = join(folder, name);
  await writeFile(file, png);
  const { size } = await stat(file);
  console.log(`${file}: ${size} bytes`);
  if (size > LARGEST) throw new Error(`${name} is too large for a README`);
}
