// The page behind the link of `peerbroker listen`. The other end is a page without WebRTC, which has only a pipe, as the program.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { listen, says } from '../lib/demos.mjs';
import { startProxy } from '../lib/frozen-proxy.mjs';
import { fits } from '../lib/layout.mjs';
import { UNREACHABLE, desktop, phone, urlOf, visit } from '../lib/visit.mjs';
import { within } from '../lib/within.mjs';

const SCRIPT = '<script>document.title = "intruder"</script> <b>bold</b>';

/** A program, and a page that is connected to it through a proxy. */
async function connected(visit, device = phone) {
  const server = await visit.server(['--expire_timeout', '500']);
  const program = await listen(visit, server);
  const proxy = await visit.keep('proxies', startProxy(server.port));
  const page = await visit.open(device, urlOf(proxy, '/broker/talk#desk'));
  await says(page, 'connected', 'Connected');
  await within('the program to be connected', program.evaluate(() => window.line.then(() => {})));
  return { server, proxy, program, page };
}

async function say(page, text) {
  await page.getByLabel('Message, as text or JSON').fill(text);
  await page.keyboard.press('Enter');
}

const tells = (program, ...values) => program.evaluate(async (values) => {
  const line = await window.line;
  for (const value of values) line.send(value);
}, values);
const hears = (program, count) =>
  program.waitForFunction((count) => window.heard.length === count && window.heard, count).then((all) => all.jsonValue());
const messages = (page) => page.locator('#messages .message');
const shows = (page, who, text) => page.locator(`.of-${who}`, { hasText: text }).waitFor();

visit('texts and JSON go both ways, and whatever comes is text', async (visit) => {
  const { program, page } = await connected(visit);

  for (const text of ['hello', '{"a": [1, null]}', '[2]', '{"a":', '5', SCRIPT]) await say(page, text);
  assert.deepEqual(await hears(program, 6), ['hello', { a: [1, null] }, [2], '{"a":', '5', SCRIPT]);
  await shows(page, 'You', '"a": [');

  await tells(program, SCRIPT, { from: [SCRIPT] }, true, 7, 'two\nlines');
  await shows(page, 'They', 'two\nlines');
  const expected = [SCRIPT, JSON.stringify({ from: [SCRIPT] }, null, 2), 'true', '7', 'two\nlines'];
  assert.deepEqual(await page.locator('.of-They').allTextContents(), expected.map((text) => `They: ${text}`));
  assert.equal(await page.locator('#messages :is(script, b)').count(), 0);
});

visit('bytes can be saved, a long message is cut, and old ones go', async (visit) => {
  const { program, page } = await connected(visit);

  await program.evaluate(async () => (await window.line).send({ bytes: new Uint8Array(3) }));
  await shows(page, 'They', '"bytes": "3 bytes"');
  await program.evaluate(async () => (await window.line).send(new Uint8Array(1_500).fill(7)));
  await shows(page, 'They', '1,500 bytes');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Save' }).tap()]);
  assert.deepEqual(await readFile(await download.path()), Buffer.alloc(1_500, 7));

  await tells(program, 'x'.repeat(1_000_000));
  await shows(page, 'They', '… 998,000 more characters');
  await fits(page, phone);
  await tells(program, ...Array.from({ length: 500 }, (_, number) => ({ number })));
  await shows(page, 'They', '"number": 499');
  assert.equal(await messages(page).count(), 500);
  assert.match(await messages(page).first().textContent(), /"number": 0\n/);

  // As with a keyboard on the screen.
  await page.setViewportSize({ width: 390, height: 420 });
  for (const last of [messages(page).last(), page.getByRole('button', { name: 'Send' })]) {
    await last.evaluate((last) => new Promise((seen) => {
      new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && seen(undefined)).observe(last);
    }));
  }
});

visit('a program ends, is absent, and comes again', async (visit) => {
  const { server, program, page } = await connected(visit, desktop);
  const number = await page.locator('#safety-number', { hasText: /^\d{4} \d{4} \d{4}$/ }).textContent();
  assert.equal(await program.evaluate(async () => (await window.line).safetyNumber()), number);

  await program.close();
  await page.getByText('The program has ended.').waitFor();
  await page.getByRole('button', { name: 'Connect' }).click();
  await says(page, 'retrying', 'Nobody has this id');
  await page.getByText('Is “peerbroker listen” still running?').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Send' }).isDisabled(), true);

  const next = await listen(visit, server);
  await says(page, 'connected', 'Connected');
  await say(page, 'again');
  assert.deepEqual(await hears(next, 1), ['again']);
});

visit('a lost network comes back, and no message is lost', async (visit) => {
  const { proxy, program, page } = await connected(visit);

  visit.tolerate(UNREACHABLE);
  proxy.freeze();
  proxy.cut();
  await says(page, 'retrying', 'Connection lost');
  await tells(program, 'meanwhile');
  proxy.thaw();
  proxy.cut();
  await shows(page, 'They', 'meanwhile');
  await says(page, 'connected', 'Connected');
  await say(page, 'here again');
  assert.deepEqual(await hears(program, 1), ['here again']);
});

visit('a link without an id says what to run, and takes an id', async (visit) => {
  const server = await visit.server();
  await listen(visit, server);
  const page = await visit.open(phone, urlOf(server, '/broker/talk'));
  await page.getByText(`peerbroker listen --broker ${urlOf(server, '/')}`).waitFor();
  await fits(page, phone);

  await page.getByLabel('Or enter the id that it prints').fill('desk');
  await page.getByRole('button', { name: 'Connect' }).tap();
  await says(page, 'connected', 'Connected');
  assert.equal(new URL(page.url()).hash, '#desk');
});
