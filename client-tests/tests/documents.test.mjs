// The documents as pages of the broker: at every width, nothing of them is cut off.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { newPage } from '../lib/browser.mjs';
import { startServer } from '../lib/server.mjs';
import { browsers } from '../lib/thorough.mjs';
import { LIMIT } from '../lib/within.mjs';

/** Of phones, a tablet and two desks. */
const WIDTHS = [320, 390, 820, 1280, 1680];

let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

for (const browser of browsers) {
  test(`no document has a part that is wider than its place, nor a table whose last column is hidden (${browser})`, { timeout: 4 * LIMIT }, async () => {
    const page = await newPage(browser);
    const documents = `http://127.0.0.1:${server.port}/broker/docs`;
    await page.goto(documents);
    const links = await page.evaluate(() => [...document.querySelectorAll('.document h3 a:not(.section-link)')].map(({ href }) => href));
    assert.ok(links.length > 20, String(links.length));
    const faults = [];
    for (const link of [documents, ...links]) {
      await page.goto(link);
      for (const width of WIDTHS) {
        await resize(page, width);
        const found = await page.evaluate(cutOff);
        faults.push(...found.map((what) => `${link.split('/').pop()} at ${width} pixels: ${what}`));
      }
    }
    await page.close();
    assert.deepEqual(faults, []);
  });
}

for (const { tls, flags, path } of [{ tls: false, flags: [], path: '/' }, { tls: true, flags: ['--path', '/my/app'], path: '/my/app/' }]) {
  test(`the examples have the address of the broker (${tls ? 'TLS' : 'plain'}, ${path})`, { timeout: LIMIT }, async () => {
    const broker = await startServer(flags, { tls });
    const page = await newPage('chromium', { ignoreHTTPSErrors: true });
    try {
      const at = `127.0.0.1:${broker.port}${path}`;
      const scheme = (plain) => (tls ? `${plain}s` : plain);
      const codeOf = async (name) => {
        await page.goto(`${scheme('http')}://${at}broker/docs/${name}`);
        return page.evaluate(() => Array.from(document.querySelectorAll('.document code'), (code) => code.textContent).join('\n'));
      };
      const choosing = await codeOf('CHOOSING');
      const addresses = choosing.match(/\bwss?:\/\/[^"`\s]*/g) ?? [];
      assert.equal(new Set(addresses).size, 4, addresses.join(' '));
      assert.deepEqual(addresses.filter((address) => !address.startsWith(`${scheme('ws')}://${at}`)), []);
      assert.doesNotMatch(choosing, /localhost:9000/);
      const options = `host: '127.0.0.1', port: ${broker.port}, path: '${path}'${tls ? ', secure: true' : ''}`;
      assert.ok((await codeOf('TROUBLESHOOTING')).includes(options), options);
      assert.ok((await codeOf('USE')).includes(`src="${path}rooms.js"`), path);
    } finally {
      await page.close();
      await broker.stop();
    }
  });
}

/** Playwright and puppeteer name it differently. */
const resize = (page, width) => (page.setViewportSize ?? page.setViewport).call(page, { width, height: 900 });

/** The parts that nobody sees without scrolling sideways, in a page. */
function cutOff() {
  const faults = [];
  const { clientWidth, scrollWidth } = document.documentElement;
  if (scrollWidth > clientWidth) faults.push(`the page has ${scrollWidth} pixels`);
  const column = document.querySelector('.document').getBoundingClientRect();
  for (const part of document.querySelectorAll('.document *')) {
    const scroller = part.parentElement.closest('pre, .wide');
    const { left, right, width } = part.getBoundingClientRect();
    if (!scroller && width > 0 && (left < column.left - 1 || right > column.right + 1)) faults.push(`<${part.localName}> ${part.textContent.slice(0, 40)}`);
  }
  for (const table of document.querySelectorAll('.wide')) {
    if (table.scrollWidth > table.clientWidth) faults.push(`a table hides ${table.scrollWidth - table.clientWidth} pixels: ${table.textContent.trim().slice(0, 40)}`);
  }
  return faults;
}
