// Makes the README's pictures of the built-in pages: `npm run pictures`.

import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { launchChromium } from './lib/chromium.mjs';
import { startServer } from './lib/server.mjs';

const folder = join(import.meta.dirname, '../docs/pictures');
const LARGEST = 200_000;

// A name as in a home network; it resolves to this machine.
const HOME = '192.168.1.20:9000';

const desk = { viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce' };
const hand = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, reducedMotion: 'reduce' };

const server = await startServer();
const browser = await launchChromium({ [HOME]: `127.0.0.1:${server.port}` });
try {
  await mkdir(folder, { recursive: true });
  await save('landing.png', await landing());
  await save('slides.png', await slides());
  await save('party.png', await party());
  await save('call.png', await call());
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
  const caller = await open(hand, await callee.locator('#local-link').evaluate((link) => link.href));
  await callee.getByRole('button', { name: 'Accept' }).click();
  for (const page of [callee, caller]) {
    await page.locator('#remote').evaluate(async (video) => {
      while (video.videoWidth === 0) await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    });
  }
  await callee.mouse.move(0, 0);
  return sideBySide(await callee.screenshot(), await caller.screenshot());
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
