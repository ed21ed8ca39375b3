// The whiteboard: people with one link draw and write together, with Yjs and y-webrtc over topics of the broker.

import assert from 'node:assert/strict';
import { startCoturn } from '../lib/coturn.mjs';
import { localLink, says, scan } from '../lib/demos.mjs';
import { fits, scrollsToItsEnd } from '../lib/layout.mjs';
import { UNREACHABLE, desktop, layouts, phone, urlOf, visit, visitAtNight } from '../lib/visit.mjs';

const BOARD = '/broker/board/';

// Level lines, in parts of the width and height of the drawing.
const LEFT = { from: 0.1, to: 0.3, down: 0.2 };
const RIGHT = { from: 0.6, to: 0.9, down: 0.7 };

/** Opens the board and waits until others can come. */
async function open(visit, device, url) {
  const page = await visit.open(device, url);
  await page.locator('#status:is([data-state="ready"], [data-state="connected"])').waitFor();
  return page;
}

/** Two people on one board, one at a desk and one with a phone. */
async function openBoth(visit, url) {
  const anna = await open(visit, desktop, url);
  const ben = await open(visit, phone, await localLink(anna));
  for (const page of [anna, ben]) await says(page, 'connected', 'Connected to 1 person directly');
  return { anna, ben };
}

/** Draws a line with the mouse. */
async function draw(page, { from, to, down }) {
  await page.mouse.move(...(await placeOf(page, from, down)));
  await page.mouse.down();
  await page.mouse.move(...(await placeOf(page, to, down)), { steps: 5 });
  await page.mouse.up();
}

/** Draws a line with a finger. */
async function drawByTouch(page, { from, to, down }) {
  const browser = await page.context().newCDPSession(page);
  const touch = (type, touchPoints = []) => browser.send('Input.dispatchTouchEvent', { type, touchPoints });
  for (let step = 0; step <= 5; step += 1) {
    const [x, y] = await placeOf(page, from + ((to - from) * step) / 5, down);
    await touch(step === 0 ? 'touchStart' : 'touchMove', [{ x, y }]);
  }
  await touch('touchEnd');
}

async function placeOf(page, across, down) {
  const canvas = page.locator('#drawing');
  await canvas.scrollIntoViewIfNeeded();
  const { x, y, width, height } = await canvas.boundingBox();
  return [x + across * width, y + down * height];
}

/** Waits until the drawing has so many strokes. These lines are among them. */
async function sees(page, strokes, ...lines) {
  await page.getByLabel(`Drawing, ${strokes} ${strokes === 1 ? 'stroke' : 'strokes'}`, { exact: true }).waitFor();
  const seen = await page.locator('#drawing').evaluate((canvas, lines) => {
    return lines.map(({ from, to, down }) => {
      const pixel = new OffscreenCanvas(1, 1).getContext('2d');
      pixel.drawImage(canvas, Math.round((-canvas.width * (from + to)) / 2), Math.round(-canvas.height * down));
      return pixel.getImageData(0, 0, 1, 1).data[3] > 0;
    });
  }, lines);
  assert.deepEqual(seen, lines.map(() => true));
}

async function reads(page, text) {
  await page.waitForFunction((text) => document.getElementById('text').value === text, text);
}

visit('a phone scans the code, and both draw and write on one board', async (visit) => {
  const server = await visit.server(['--path', '/myapp'], { tls: true });
  const anna = await open(visit, desktop, urlOf(server, '/myapp/broker/board/', 'lan.test'));
  await says(anna, 'ready', 'Nobody else is connected');
  const link = await scan(anna);
  assert.equal(link, await anna.locator('#join-link').getAttribute('href'));
  assert.match(link, /\/board\/#[0-9a-f]{16}$/);
  await scrollsToItsEnd(anna, '#join');

  const ben = await open(visit, phone, link);
  for (const page of [anna, ben]) {
    await says(page, 'connected', 'Connected to 1 person directly');
    await page.getByText('The broker only introduced you: it can be stopped now.').waitFor();
    await page.locator('#people li:nth-child(2)').waitFor();
  }
  const colours = await anna.locator('#people .swatch').evaluateAll((all) => all.map(({ dataset }) => dataset.colour));
  assert.equal(new Set(colours).size, 2);

  await draw(anna, LEFT);
  await sees(ben, 1, LEFT);
  await drawByTouch(ben, RIGHT);
  await sees(anna, 2, LEFT, RIGHT);
  await anna.mouse.move(...(await placeOf(anna, 0.5, 0.5)));
  await ben.locator('.cursor').waitFor();

  await anna.getByLabel('Notes').pressSequentially('milk');
  await reads(ben, 'milk');
  await ben.getByLabel('Notes').press('Home');
  await ben.getByLabel('Notes').pressSequentially('eggs, ');
  await reads(anna, 'eggs, milk');
  // Its cursor stays behind its own letters.
  await anna.getByLabel('Notes').pressSequentially('!');
  await reads(ben, 'eggs, milk!');
  for (const key of ['Control+z', 'Control+z']) await anna.getByLabel('Notes').press(key);
  await reads(ben, 'eggs, ');
});

visit('people undo what is theirs', async (visit) => {
  const { anna, ben } = await openBoth(visit, urlOf(await visit.server(), BOARD));
  await draw(anna, LEFT);
  await sees(ben, 1);
  await drawByTouch(ben, RIGHT);
  await sees(anna, 2);

  await anna.getByRole('button', { name: 'Undo' }).click();
  await sees(ben, 1, RIGHT);
  await anna.keyboard.press('Control+Shift+Z');
  await sees(ben, 2, LEFT, RIGHT);

  await ben.getByRole('button', { name: 'Clear drawing' }).tap();
  await sees(anna, 0);
  assert.equal(await anna.locator('#clear').getAttribute('aria-disabled'), 'true');
  await ben.getByRole('button', { name: 'Undo' }).tap();
  await sees(anna, 2, LEFT, RIGHT);
});

visit('the pen moves by keys', async (visit) => {
  const page = await open(visit, desktop, urlOf(await visit.server(), BOARD));
  await page.getByLabel('Drawing').focus();
  for (const key of ['Shift+ArrowLeft', 'Space', 'Shift+ArrowRight', 'Shift+ArrowRight']) await page.keyboard.press(key);
  assert.equal(await page.locator('#pen-state').innerText(), 'The pen is down.');
  await page.keyboard.press('Space');
  assert.equal(await page.locator('#pen-state').innerText(), 'The pen is up.');
  await page.keyboard.press('ArrowDown');

  await sees(page, 1, { from: 0.45, to: 0.55, down: 0.5 });
});

visit('a board stays while anybody is there, and for a page that is reloaded alone', async (visit) => {
  const { anna, ben } = await openBoth(visit, urlOf(await visit.server(), BOARD));
  const link = ben.url();
  await draw(anna, LEFT);
  await sees(ben, 1);
  await ben.close();
  await says(anna, 'ready', 'Nobody else is connected');

  await draw(anna, RIGHT);
  await anna.getByLabel('Notes').fill('while Ben was away');
  await anna.reload();
  await sees(anna, 2, LEFT, RIGHT);
  const back = await open(visit, phone, link);
  await sees(back, 2, LEFT, RIGHT);
  await reads(back, 'while Ben was away');
});

visit('when the broker dies they go on and say so; when it comes back, others can come', async (visit) => {
  const first = await visit.server();
  const proxy = await visit.proxy(first);
  const { anna, ben } = await openBoth(visit, urlOf(proxy, BOARD));

  visit.tolerate(UNREACHABLE);
  await first.stop();
  for (const page of [anna, ben]) {
    await says(page, 'retrying', 'Connected to 1 person, without the broker');
    await page.getByText('You go on with those who are here; new people cannot come.').waitFor();
  }
  await draw(anna, LEFT);
  await sees(ben, 1, LEFT);
  await ben.getByLabel('Notes').fill('no broker');
  await reads(anna, 'no broker');

  proxy.leadTo(await visit.server());
  await says(anna, 'connected', 'Connected to 1 person directly');
  const clara = await open(visit, phone, ben.url());
  await says(clara, 'connected', 'Connected to 2 people directly');
  await sees(clara, 1, LEFT);

  await visit.stopLatest();
  await says(clara, 'retrying', 'Connected to 2 people, without the broker');
  for (const page of [anna, ben]) await page.close();
  await says(clara, 'retrying', 'The broker cannot be reached');
});

visit('a connection through the relay is not called a direct one', async (visit) => {
  const server = await visit.server(['--relay', '127.0.0.1:0', '--relay_private', '--relay_mode', 'always']);
  const anna = await open(visit, desktop, urlOf(server, BOARD));
  const ben = await open(visit, phone, await localLink(anna));
  for (const page of [anna, ben]) {
    await says(page, 'connected', 'Connected to 1 person');
    await page.getByText('A relay connects some of you: when the broker stops, they may lose each other.').waitFor();
  }
  await draw(anna, LEFT);
  await sees(ben, 1, LEFT);
});

visit('people without a direct way draw together over the broker, and read that they do', async (visit) => {
  const server = await visit.server();
  const proxy = await visit.proxy(server);
  const anna = await open(visit, desktop, urlOf(proxy, BOARD));
  const ben = await visit.open(phone, await localLink(anna), { webRtc: false });
  for (const page of [anna, ben]) {
    await says(page, 'connected', 'Connected to 1 person over the broker, encrypted');
    await page.getByText('Some of you have no other way than over the broker').waitFor();
  }
  await draw(anna, LEFT);
  await sees(ben, 1, LEFT);

  const clara = await open(visit, desktop, ben.url());
  await says(clara, 'connected', 'Connected to 2 people');
  await clara.getByText('Some of you have no other way than over the broker').waitFor();

  visit.tolerate(UNREACHABLE);
  await server.stop();
  await says(ben, 'retrying', 'The broker cannot be reached');
  await says(anna, 'retrying', 'Connected to 1 person, without the broker');
  await anna.getByText('You go on with those to whom you are connected directly').waitFor();
});

visitAtNight('a connection through a TURN server is not called a direct one', async (visit) => {
  const coturn = await visit.keep('proxies', startCoturn());
  const url = `${urlOf(await visit.server(coturn.flags), BOARD)}#here`;
  const pages = await Promise.all([visit.page(desktop), visit.page(phone)]);
  for (const page of pages) {
    await page.addInitScript(() => {
      const Original = window.RTCPeerConnection;
      window.RTCPeerConnection = class extends Original {
        constructor(config) {
          super({ ...config, iceTransportPolicy: 'relay' });
        }
      };
    });
    await page.goto(url);
  }
  for (const page of pages) {
    await says(page, 'connected', 'Connected to 1 person');
    await page.getByText('A relay connects some of you').waitFor();
  }
});

for (const device of layouts) {
  visit(`nothing sticks out of a board, and every button can be hit (${device.name})`, async (visit) => {
    const server = await visit.server();
    const anna = await open(visit, device, urlOf(server, BOARD, 'lan.test'));
    await anna.locator('#join summary')[device.press]();
    await fits(anna, device);
    await open(visit, device, await anna.locator('#join-link').getAttribute('href'));
    await says(anna, 'connected', 'Connected to 1 person directly');
    assert.equal(await anna.locator('#join').isVisible(), false);
    await fits(anna, device);
    await anna.getByRole('button', { name: 'Show link' })[device.press]();
    await anna.locator('#qr svg').waitFor();
  });
}
