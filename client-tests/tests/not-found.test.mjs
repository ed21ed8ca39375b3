// The page for a path that does not exist.

import assert from 'node:assert/strict';
import { fits } from '../lib/layout.mjs';
import { layouts, phone, visit } from '../lib/visit.mjs';

for (const device of layouts) {
  visit(`a wrong path is a page that leads to the right one (${device.name})`, async (visit) => {
    visit.tolerate(/404/);
    const server = await visit.server(['--path', '/myapp']);
    const long = 'a-long-path-without-any-break'.repeat(6);
    const page = await visit.open(device, `http://127.0.0.1:${server.port}/${long}`);

    await fits(page, device);
    await page.locator('h1', { hasText: 'There is nothing here.' }).waitFor();
    await page.locator('.button', { hasText: 'Open /myapp/' })[device.press]();

    await page.waitForURL(`http://127.0.0.1:${server.port}/myapp/`);
    await page.locator('h1', { hasText: 'running' }).waitFor();
  });
}

visit('without a built-in key the page for a wrong path shows none', async (visit) => {
  visit.tolerate(/404/);
  const server = await visit.server(['--no_default_key']);
  const page = await visit.open(phone, `http://127.0.0.1:${server.port}/nothing`);

  await fits(page, phone);
  assert.doesNotMatch(await page.content(), /YOUR-KEY/);
  assert.match(await page.locator('main').innerText(), /no built-in key/);
});
