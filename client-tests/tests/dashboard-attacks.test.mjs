// Attacks on the dashboard: pages of other sites in the browser of an operator, and clients whose ids are HTML.

import assert from 'node:assert/strict';
import { TOKEN, goTo, isLive, logIn, startWithDashboard } from '../lib/dashboard.mjs';
import { desktop, visit } from '../lib/visit.mjs';

const HTML = '<img src=x onerror="document.title=\'owned\'">';

for (const token of [TOKEN, null]) {
  visit(`a page of another site in the same browser can do nothing (${token ? 'logged in' : 'without a token'})`, async (visit) => {
    const { url, api } = await startWithDashboard(visit, [], { token });
    visit.tolerate(/./);
    const page = token ? await logIn(visit, desktop, url) : await visit.open(desktop, url);
    await isLive(page);
    const { port, origin } = new URL((await visit.site()).origin);
    // Another port of the same host is of the same site, which SameSite cookies do not tell apart. lan.test is another site.
    for (const foreign of [origin, `http://lan.test:${port}`]) {
      const opened = page.context().waitForEvent('page');
      await page.evaluate((address) => void window.open(address, '_blank', 'noopener'), `${foreign}/1.5.5`);
      const other = await opened;
      await other.waitForLoadState();
      const seen = await other.evaluate(async (target) => {
        const results = [];
        const body = JSON.stringify({ key: 'theirs' });
        for (const options of /** @type {RequestInit[]} */ ([
          { mode: 'no-cors', method: 'POST', body },
          { mode: 'no-cors', method: 'POST', body, headers: { 'Content-Type': 'text/plain' } },
          { method: 'POST', body, headers: { 'Content-Type': 'application/json' } },
          { method: 'DELETE' },
          {},
        ])) {
          const paths = ['api/keys', 'api/keys/peerjs', 'api/session', 'api/stats'];
          for (const path of paths) {
            const answer = await fetch(target + path, { credentials: 'include', ...options }).then((response) => response.type, () => 'failed');
            results.push(answer);
          }
        }
        const stream = new EventSource(`${target}api/live`, { withCredentials: true });
        results.push(await new Promise((resolve) => {
          stream.onerror = () => resolve('failed');
          stream.onmessage = () => resolve('message');
          stream.addEventListener('history', () => resolve('message'));
        }));
        const frame = document.createElement('iframe');
        const form = document.createElement('form');
        frame.name = 'frame';
        Object.assign(form, { method: 'post', action: `${target}api/keys`, target: 'frame', enctype: 'text/plain' });
        const input = document.createElement('input');
        [input.name, input.value] = ['{"key":"theirs","name":"', '"}'];
        form.append(input);
        document.body.append(frame, form);
        const loaded = new Promise((resolve) => frame.addEventListener('load', resolve));
        form.submit();
        await loaded;
        return results;
      }, url);
      assert.ok(seen.length > 20 && seen.every((result) => result === 'failed' || result === 'opaque'), `${foreign}: ${seen}`);
      // In a frame it would be a target for clicks.
      const framed = await other.evaluate(async (target) => {
        const frame = document.createElement('iframe');
        frame.src = target;
        const loaded = new Promise((resolve) => frame.addEventListener('load', resolve));
        document.body.append(frame);
        await loaded;
        return frame.contentDocument === null;
      }, url);
      assert.ok(framed);
      const inside = other.frames().at(-1);
      assert.equal(await inside.locator('#nav').count(), 0);
      await other.close();
    }
    const { json } = await api('GET', '/api/keys');
    assert.deepEqual(json.keys.map(({ key }) => key), ['peerjs']);
    await page.reload();
    await isLive(page);
  });
}

visit('ids, keys and names full of HTML stay texts', async (visit) => {
  const { server, url, api } = await startWithDashboard(visit);
  const { json } = await api('POST', '/api/keys', { key: HTML, name: HTML });
  assert.equal(json.key, HTML);
  const page = await logIn(visit, desktop, url);
  const other = await visit.page(desktop);
  await other.goto(`http://127.0.0.1:${server.port}/broker/`);
  await other.evaluate(({ port, html }) => {
    const query = (key) => new URLSearchParams({ key, id: html, token: 't' });
    for (const key of [html, 'peerjs', `${html}!`]) {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/peerjs?${query(key)}`);
      socket.onopen = () => socket.send(JSON.stringify({ type: 'ROOM-JOIN', room: html, data: html }));
    }
  }, { port: server.port, html: HTML });
  await page.getByText(`${HTML} connected`).first().waitFor();
  await page.getByText('A client asked for the key').waitFor();
  await goTo(page, desktop, 'Keys');
  const key = page.getByRole('button', { name: `Change ${HTML}` });
  await key.click();
  await page.getByRole('heading', { name: `Change ${HTML}` }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('link', { name: `Clients of ${HTML}` }).click();
  await page.getByRole('button', { name: `Details ${HTML}` }).click();
  await page.getByRole('dialog').getByText(HTML).first().waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('link', { name: 'Rooms' }).click();
  await page.getByRole('link', { name: HTML }).click();
  await page.getByText(JSON.stringify(HTML)).waitFor();
  await page.getByRole('link', { name: 'Rooms' }).click();
  await page.getByRole('link', { name: 'Clients' }).click();
  await page.getByRole('button', { name: `Kick ${HTML}` }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Kick' }).click();
  await page.getByText('Nobody is connected with this key.').waitFor();
  assert.equal(await page.locator('img[src="x"]').count(), 0);
  assert.match(await page.title(), /peerbroker$/);
});
