// The form on the landing page that registers keys, and its answers.

import assert from 'node:assert/strict';
import { fits } from '../lib/layout.mjs';
import { optionsIn, pasted } from '../lib/snippet.mjs';
import { desktop, layouts, phone, screens, urlOf, visit, visitAtNight } from '../lib/visit.mjs';

const OPEN = ['--registration', 'open'];
const FOREIGN = 'This origin may not use the key';
const KEY = /^[0-9A-Za-z]{24}$/;

const script = [
  { javaScript: true, how: 'with script' },
  { javaScript: false, how: 'without script' },
];

for (const device of screens) {
  for (const { javaScript, how } of script) {
    const at = `${device.name}, ${how}`;

    visit(`whoever fills the form gets a key that pages of this origin can use (${at})`, async (visit) => {
      const [ours, theirs] = [await visit.site(), await visit.site()];
      const server = await visit.server([...OPEN, '--no_default_key']);
      const page = await visit.open(device, urlOf(server, '/'), { javaScript });
      await fits(page, device);

      await fillIn(page, device, 'My game', `${ours.origin}/play/?level=1`);

      const key = await page.locator('#key').innerText();
      assert.match(key, KEY);
      const text = await page.locator('main').innerText();
      for (const part of ['“My game”', 'Keep it, or the address of this page', `It works for pages of ${ours.origin} only.`, 'nobody uses it for 90 days']) {
        assert.ok(text.includes(part), `${part} in ${text}`);
      }
      await fits(page, device);
      assert.equal(await page.getByRole('button', { name: 'Copy' }).count(), javaScript ? 2 : 0);
      const options = optionsIn(await page.locator('#snippet').innerText());
      assert.deepEqual(options, { host: server.host, port: server.port, path: '/', key, secure: false });

      const [alice, bob, mallory] = [await visit.client(ours), await visit.client(ours), await visit.client(theirs)];
      await bob.open(server, 'bob', options);
      await alice.open(server, 'alice', options);
      assert.equal(await (await alice.connect('bob')).echo('hello'), 'hello');
      await mallory.start(server, 'mallory', options);
      assert.equal((await mallory.next('open', 'error text')).detail, FOREIGN);
    });

    visit(`what is wrong is said beside the field, and what was typed is kept (${at})`, async (visit) => {
      const server = await visit.server(OPEN);
      const page = await visit.open(device, urlOf(server, '/broker/'), { javaScript });
      const [name, origin] = [page.getByLabel('Name of your app'), page.getByLabel('Address of its pages')];
      visit.tolerate(/status of 422/);

      await fillIn(page, device, 'My <b>game</b> & "more"', 'https://*.example.org/play');

      await page.getByRole('heading', { name: 'No key yet.' }).waitFor();
      assert.equal(await name.inputValue(), 'My <b>game</b> & "more"');
      assert.equal(await origin.inputValue(), 'https://*.example.org/play');
      assert.match(await page.locator('#register-origin-problem').innerText(), /without a \*/);
      assert.equal(await page.locator('#register-name-problem').isVisible(), false);
      await page.locator('#register-origin:focus').waitFor();
      await fits(page, device);

      await fillIn(page, device, '   ', 'https://example.org');
      await page.locator('#register-name:focus').waitFor();
      assert.match(await page.locator('#register-name-problem').innerText(), /1 to 100 characters/);
      assert.equal(await origin.inputValue(), 'https://example.org');

      await fillIn(page, device, 'My game', 'https://example.org');
      assert.match(await page.locator('#key').innerText(), KEY);
    });
  }
}

visitAtNight('a reload of the result shows the same key and makes no second one', async (visit) => {
  const server = await visit.server(OPEN);
  const page = await visit.open(desktop, urlOf(server, '/'));
  await fillIn(page, desktop, 'My game', 'https://example.org');
  const key = await page.locator('#key').innerText();

  // As many as an address may register in a day.
  for (let reload = 0; reload < 5; reload += 1) {
    await page.reload();
    assert.equal(await page.locator('#key').innerText(), key);
  }

  await page.getByRole('link', { name: 'Back to the start' }).click();
  await fillIn(page, desktop, 'My game', 'https://example.org');
  assert.notEqual(await page.locator('#key').innerText(), key);
});

visitAtNight('an address that is not http is refused by the field before it is sent', async (visit) => {
  const server = await visit.server(OPEN);
  const page = await visit.open(desktop, urlOf(server, '/'));
  const origin = page.getByLabel('Address of its pages');
  await page.getByLabel('Name of your app').fill('My game');
  await origin.fill('ftp://example.org');

  await page.getByRole('button', { name: 'Get a key' }).click();
  assert.equal(await origin.evaluate((field) => field.validity.patternMismatch), true);
  assert.equal(await origin.getAttribute('title'), 'It begins with https:// or http://');
  await page.locator('#register-origin:focus').waitFor();
});

for (const device of layouts) {
  visit(`nothing sticks out, however long names and origins are (${device.name})`, async (visit) => {
    const server = await visit.server(OPEN);
    // An address may register five keys in a day.
    for (let other = 0; other < 4; other += 1) {
      const body = new URLSearchParams({ name: 'Other', origin: 'https://example.org' });
      assert.equal((await fetch(urlOf(server, '/broker/register'), { method: 'POST', body, redirect: 'manual' })).status, 303);
    }
    const page = await visit.open(device, urlOf(server, '/broker/'));
    const [name, origin] = ['N'.repeat(100), `https://${'o'.repeat(63)}.${'p'.repeat(63)}.example.org`];
    visit.tolerate(/status of (422|429)/);

    await fillIn(page, device, name, `${origin}*`);
    await page.getByRole('heading', { name: 'No key yet.' }).waitFor();
    await fits(page, device);
    await fillIn(page, device, name, origin);
    await page.locator('#key').waitFor();
    await fits(page, device);
    await page.getByRole('link', { name: 'Back to the start' })[device.press]();
    await fillIn(page, device, name, origin);
    await page.getByText('The next one is possible in 24 hours.').waitFor();
    assert.equal(await page.getByLabel('Name of your app').inputValue(), name);
    await fits(page, device);
  });
}

visitAtNight('key and snippet can be copied', async (visit) => {
  const server = await visit.server(OPEN);
  const page = await visit.page({ ...desktop, permissions: ['clipboard-read', 'clipboard-write'] });
  await page.goto(urlOf(server, '/'));
  await fillIn(page, desktop, 'My game', 'https://example.org');
  const key = await page.locator('#key').innerText();

  await page.locator('#copy-key').click();
  await page.locator('#copy-key', { hasText: 'Copied' }).waitFor();
  assert.equal(await pasted(page), key);
  await page.locator('#copy-snippet').click();
  await page.locator('#copy-snippet', { hasText: 'Copied' }).waitFor();
  assert.equal(optionsIn(await pasted(page)).key, key);
});

for (const [where, flags, options, path, host] of /** @type {any[][]} */ ([
  ['at another path', ['--path', '/myapp'], {}, '/myapp/', '127.0.0.1'],
  ['over TLS', [], { tls: true }, '/', '127.0.0.1'],
  // Not a secure context: the browser sends `Origin` there, but no `Sec-Fetch-Site`.
  ['at an insecure origin', [], {}, '/', 'lan.test'],
])) {
  visit(`the form works ${where}`, async (visit) => {
    const server = await visit.server([...OPEN, ...flags], options);
    const page = await visit.open(phone, urlOf(server, path, host));

    await fillIn(page, phone, 'My game', 'https://example.org');

    const key = await page.locator('#key').innerText();
    const { port, secure } = server;
    assert.deepEqual(optionsIn(await page.locator('#snippet').innerText()), { host, port, path, key, secure });
  });
}

visit('the form works behind a proxy', async (visit) => {
  const server = await visit.server([...OPEN, '--proxied']);
  const proxy = await visit.proxy(server);
  for (const host of ['127.0.0.1', 'lan.test']) {
    const page = await visit.open(desktop, urlOf(proxy, '/', host));

    await fillIn(page, desktop, 'My game', 'https://example.org');

    assert.match(await page.locator('#key').innerText(), KEY);
    assert.equal(optionsIn(await page.locator('#snippet').innerText()).port, proxy.port);
  }
});

for (const host of ['127.0.0.1', 'lan.test']) {
  visit(`a page of another site cannot send the form for its visitor, at ${host}`, async (visit) => {
    const server = await visit.server(OPEN);
    const page = await visit.open(desktop, (await visit.site()).url('rooms'));
    // For the plain-text answer the browser requests a favicon.
    visit.tolerate(/status of (403|404)/);

    await page.evaluate((action) => {
      const form = document.createElement('form');
      Object.assign(form, { method: 'post', action });
      for (const [name, value] of [['name', 'My game'], ['origin', 'https://evil.test']]) {
        form.append(Object.assign(document.createElement('input'), { name, value }));
      }
      document.body.append(form);
      form.submit();
    }, urlOf(server, '/broker/register', host));

    await page.getByText('Forbidden: this form is for pages of this server.').waitFor();
  });
}

visit('there is no form where registration is closed', async (visit) => {
  const server = await visit.server();
  const page = await visit.open(desktop, urlOf(server, '/'));

  assert.equal(await page.locator('form').count(), 0);
});

async function fillIn(page, device, name, origin) {
  await page.getByLabel('Name of your app').fill(name);
  await page.getByLabel('Address of its pages').fill(origin);
  const answered = page.waitForEvent('domcontentloaded');
  await page.getByRole('button', { name: 'Get a key' })[device.press]();
  await answered;
}
