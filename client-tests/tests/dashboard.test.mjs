// The dashboard: what an operator sees and does in it, while real clients come and go.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { accessible, usable } from '../lib/accessible.mjs';
import { newPage } from '../lib/browser.mjs';
import { TOKEN, dashboardOf, goTo, isLive, logIn, shows, startWithDashboard } from '../lib/dashboard.mjs';
import { fits } from '../lib/layout.mjs';
import { PeerSocket } from '../lib/peer-socket.mjs';
import { scratch } from '../lib/scratch.mjs';
import { startServer } from '../lib/server.mjs';
import { isThorough } from '../lib/thorough.mjs';
import { UNREACHABLE, appearances, desktop, phone, screens, visit, visitAtNight } from '../lib/visit.mjs';
import { LIMIT, PATIENCE, within } from '../lib/within.mjs';

for (const device of screens) {
  visit(`the token opens the dashboard, and a reload keeps it open until the logout (${device.name})`, async (visit) => {
    const { url } = await startWithDashboard(visit);
    visit.tolerate(/status of 401/);
    const page = await visit.open(device, url);
    await page.getByLabel('Admin token').fill('another-token-of-somebody');
    await page.getByRole('button', { name: 'Log in' })[device.press]();
    await page.getByText('This is not the admin token of this server.').waitFor();
    await page.getByLabel('Admin token').fill(TOKEN);
    await page.keyboard.press('Enter');
    await isLive(page);

    const [cookie] = await page.context().cookies();
    assert.deepEqual([cookie.name, cookie.httpOnly, cookie.sameSite, cookie.path], ['peerbroker_session', true, 'Strict', '/']);
    const kept = await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length]);
    assert.deepEqual(kept, ['', 0, 0], 'scripts see nothing of it');

    await page.reload();
    await isLive(page);
    await shows(page, 'clients', '0');
    const wasted = page.waitForResponse((response) => response.request().method() === 'DELETE');
    await page.getByRole('button', { name: 'Log out' })[device.press]();
    assert.equal((await wasted).status(), 204);
    await page.getByLabel('Admin token').waitFor();
    await page.reload();
    await page.getByLabel('Admin token').waitFor();
    assert.deepEqual(await page.context().cookies(), []);
  });

  visit(`the numbers follow a client, and a kick ends its connection (${device.name})`, async (visit) => {
    const { server, url } = await startWithDashboard(visit);
    const page = await logIn(visit, device, url);
    await shows(page, 'clients', '0');
    const client = await visit.client(await visit.site());
    await client.open(server, 'anna');
    await shows(page, 'clients', '1');
    await page.getByText('anna connected').waitFor();
    assert.equal(await page.locator('[data-number="clients"] .axis').innerText(), '1 min ago\nnow');
    await page.reload();
    await page.getByText('anna connected').waitFor();

    await goTo(page, device, 'Keys');
    await page.getByRole('link', { name: 'Clients of peerjs' })[device.press]();
    await page.getByRole('button', { name: 'Details anna' })[device.press]();
    await page.getByRole('dialog').getByText('1.5.5').waitFor();
    await page.getByRole('button', { name: 'Close' })[device.press]();
    await page.getByRole('button', { name: 'Kick anna' })[device.press]();
    await page.getByRole('dialog').getByRole('button', { name: 'Kick' })[device.press]();
    await client.next('disconnected');
    await page.getByText('Nobody is connected with this key.').waitFor();
    await goTo(page, device, 'Overview');
    await shows(page, 'clients', '0');
    await page.getByText('An operator kicked anna').waitFor();
  });

  visit(`the busiest address is listed, banned and let in again (${device.name})`, async (visit) => {
    const { server, url, api } = await startWithDashboard(visit, ['--proxied', '--connections_per_address', '1']);
    const headers = { 'X-Forwarded-For': '192.0.2.1' };
    const from = (id) => new WebSocket(`ws://127.0.0.1:${server.port}/peerjs?key=peerjs&id=${id}&token=t`, { headers });
    const status = async () => (await fetch(`http://127.0.0.1:${server.port}/peerjs/id`, { headers })).status;
    const client = from('anna');
    await within('a connection', once(client, 'open'));
    const refused = from('bob');
    await within('the refusal', once(refused, 'error'));

    const page = await logIn(visit, device, url);
    await goTo(page, device, 'Addresses');
    const row = page.getByRole('row').filter({ hasText: '192.0.2.1' });
    await row.first().waitFor();
    assert.match((await row.first().innerText()).replace(/\s+/g, ' '), /1 .*1 .*1/, 'a connection, which was opened, and a refusal');
    const closed = once(client, 'close');
    await page.getByRole('button', { name: 'Ban 192.0.2.1' })[device.press]();
    await page.getByRole('dialog').getByRole('button', { name: 'Ban' })[device.press]();
    assert.equal((await within('the end', closed))[0], 4008);
    const end = page.getByRole('button', { name: 'End 192.0.2.1' });
    await end.waitFor();
    assert.equal(await status(), 403);
    const [{ until }] = (await api('GET', '/api/bans')).json.bans;
    assert.ok(Math.abs(until - Date.now() / 1000 - 3600) < 300, 'for an hour');
    await end[device.press]();
    await page.getByText('Nobody is banned.').waitFor();
    assert.equal(await status(), 200);
  });

  visit(`rooms and their members are listed, and follow those who join and leave (${device.name})`, async (visit) => {
    const { server, url } = await startWithDashboard(visit);
    const page = await logIn(visit, device, url, '#/keys/peerjs');
    await page.getByRole('link', { name: 'Rooms' })[device.press]();
    await page.getByText('No client of this key is in a room.').waitFor();
    const anna = await member(server, 'anna', 'the lobby', { name: 'Anna', colour: 'red' });
    const ben = await member(server, 'ben', 'the lobby');
    await page.getByRole('row', { name: 'the lobby' }).getByText('2', { exact: true }).waitFor();
    await page.getByRole('link', { name: 'the lobby' })[device.press]();
    await page.getByRole('heading', { name: 'Members of the lobby' }).waitFor();
    await page.getByRole('row', { name: 'anna' }).getByText('{"name":"Anna","colour":"red"}').waitFor();
    await page.getByRole('row', { name: 'ben' }).getByText('none').waitFor();
    ben.send({ type: 'ROOM-LEAVE', room: 'the lobby' });
    await page.getByRole('row', { name: 'ben' }).waitFor({ state: 'detached' });
    anna.send({ type: 'LEAVE' });
    await page.getByText('Nobody is in this room.').waitFor();
    await goTo(page, device, 'Overview');
    await page.getByText('anna left the room the lobby').waitFor();
  });

  visit(`topics are listed with their subscribers (${device.name})`, async (visit) => {
    const { server, url } = await startWithDashboard(visit);
    const subscriber = new WebSocket(`ws://127.0.0.1:${server.port}/`);
    await within('a connection', once(subscriber, 'open'));
    subscriber.send(JSON.stringify({ type: 'subscribe', topics: ['minutes of May'] }));
    subscriber.send(JSON.stringify({ type: 'ping' }));
    await within('a pong', once(subscriber, 'message'));
    const page = await logIn(visit, device, url, '#/keys/peerjs');
    await page.getByRole('link', { name: 'Topics' })[device.press]();
    await page.getByRole('row', { name: 'minutes of May' }).getByText('1', { exact: true }).waitFor();
    await usable(page, device, 'topics');
  });

  visit(`a key is created, used, disabled and removed (${device.name})`, async (visit) => {
    const { server, url, api } = await startWithDashboard(visit);
    const page = await logIn(visit, device, url, '#/keys');
    const press = (name, scope = page) => scope.getByRole('button', { name, exact: true })[device.press]();
    const dialog = page.getByRole('dialog');
    await press('New key');
    await dialog.getByLabel('Key', { exact: true }).fill('chess');
    await dialog.getByLabel('Name').fill('My chess club');
    await dialog.getByLabel('Client limit').fill('7');
    await press('Create', dialog);
    await page.getByText('The key is active').waitFor();
    await press('Close', dialog);
    await page.getByText('0 of 7').waitFor();

    const client = await visit.client(await visit.site());
    await client.open(server, 'anna', { key: 'chess' });
    await page.getByText('1 of 7').waitFor();

    await press('Change chess');
    await dialog.getByLabel('Client limit').fill('8');
    await dialog.getByText('More settings')[device.press]();
    await dialog.getByLabel('Clients find each other without an id').selectOption('All');
    await press('Save', dialog);
    await page.getByText('1 of 8').waitFor();
    const { json: changed } = await api('GET', '/api/keys/chess');
    assert.deepEqual([changed.concurrent_limit, changed.allow_discovery, changed.messages_per_second, changed.name], [8, true, 200, 'My chess club']);

    await press('Disable chess');
    await dialog.getByText('Its 1 client will be disconnected').waitFor();
    await press('Disable', dialog);
    await client.next('disconnected');
    await page.getByText('disabled', { exact: true }).waitFor();
    await press('Enable chess');
    await page.getByRole('button', { name: 'Disable chess' }).waitFor();

    await press('Remove chess');
    await press('Remove', dialog);
    await page.getByRole('button', { name: 'Remove chess' }).waitFor({ state: 'detached' });
    assert.equal((await api('GET', '/api/keys/chess')).status, 404);
  });
}

visitAtNight('a button works whose row changes between press and release', async (visit) => {
  const { server, url, api } = await startWithDashboard(visit);
  await api('POST', '/api/keys', { key: 'chess' });
  const page = await logIn(visit, desktop, url, '#/keys');
  await page.getByRole('button', { name: 'Remove chess' }).hover();
  await page.mouse.down();
  const told = page.waitForResponse((response) => response.url().includes('/api/keys?'));
  await PeerSocket.open(`http://127.0.0.1:${server.port}/`, { id: 'anna' });
  await (await told).finished();
  // The rows change in a task of their own.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

  await page.mouse.up();

  await page.getByRole('dialog').getByText('The key and its settings are deleted').waitFor();
});

visitAtNight('a key of the configuration file has its name, and cannot be changed', async (visit) => {
  const file = join(scratch(), 'peerbroker.toml');
  writeFileSync(file, '[[api_key]]\nkey = "chess"\nname = "My chess club"\n');
  const { url } = await startWithDashboard(visit, ['--config', file]);
  const page = await logIn(visit, desktop, url, '#/keys');
  await page.getByText('My chess club · set in the configuration of the server').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Change chess' }).count(), 0);
});

/** Waits until a secret is gone from a page: a dialog is closed a moment before. */
const isGone = (page, secret) =>
  page.waitForFunction((secret) => !document.documentElement.outerHTML.includes(secret), {}, secret);

visit('a new secret is shown once', async (visit) => {
  const { url, api } = await startWithDashboard(visit);
  const page = await logIn(visit, desktop, url, '#/keys');
  await page.getByRole('button', { name: 'New key' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('How clients prove their ids').selectOption('secret');
  await dialog.getByRole('button', { name: 'Create' }).click();
  const secret = await page.locator('[data-shown="secret"]').textContent();
  assert.match(secret, /^[0-9a-f]{64}$/);
  const key = await page.locator('[data-shown="key"]').textContent();
  const { json } = await api('GET', `/api/keys/${key}`);
  assert.deepEqual(json.auth, { method: 'jwt', kind: 'secret' });
  await dialog.getByRole('button', { name: 'Close' }).click();
  await dialog.waitFor({ state: 'detached' });
  await isGone(page, secret);
  await page.getByText('tokens with a secret').waitFor();
});

visit('a token of a key is shown once, works, and is removed', async (visit) => {
  const { url, api } = await startWithDashboard(visit);
  assert.equal((await api('POST', '/api/keys', { key: 'chess' })).status, 201);
  const page = await logIn(visit, desktop, url, '#/keys');
  await page.getByRole('button', { name: 'Tokens chess' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name of a new token').fill('shop');
  await dialog.getByLabel('Send messages to clients').check();
  await dialog.getByRole('button', { name: 'Add' }).click();
  const token = await page.locator('[data-shown="token"]').textContent();
  const send = async () => {
    const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
    return (await fetch(new URL('/api/keys/chess/messages', url), { method: 'POST', headers, body: '1' })).status;
  };
  assert.equal(await send(), 202);
  await dialog.getByRole('button', { name: 'Close' }).click();
  await dialog.waitFor({ state: 'detached' });
  await isGone(page, token);

  await page.getByRole('button', { name: 'Tokens chess' }).click();
  await dialog.getByRole('button', { name: 'Remove shop' }).click();
  await dialog.locator('[data-token="shop"]').waitFor({ state: 'detached' });
  assert.equal(await send(), 401);
});

visit('on a desk the two fields of a row in the form of a key stand at one height', async (visit) => {
  const { url } = await startWithDashboard(visit);
  const page = await logIn(visit, desktop, url, '#/keys');
  await page.getByRole('button', { name: 'New key' }).click();
  await page.getByRole('dialog').locator('summary').click();
  const rows = await page.getByRole('dialog').locator('.pair').evaluateAll((pairs) => {
    const ends = (pair, part) => [...pair.querySelectorAll(part)].map((each) => Math.round(each.getBoundingClientRect().bottom));
    return pairs.map((pair) => [ends(pair, 'label'), ends(pair, 'input')]);
  });
  assert.equal(rows.length, 2);
  for (const [first, second] of rows.flat()) assert.equal(first, second);
});

visit('on a phone the lists of the overview scroll in their own boxes', async (visit) => {
  const { url } = await startWithDashboard(visit);
  const page = await logIn(visit, phone, url);
  const boxes = await page.evaluate(() => ['.events', '.mistakes', '.failed-calls'].map((name) => {
    const list = document.querySelector(name);
    // As many as the page keeps. The next tick shows those of the server again.
    list.replaceChildren(...Array.from({ length: 100 }, () => Object.assign(document.createElement('li'), { textContent: 'something has happened' })));
    list.closest('[hidden]')?.removeAttribute('hidden');
    return [name, list.scrollHeight > list.clientHeight, list.clientHeight < window.innerHeight, list.tabIndex];
  }));
  assert.deepEqual(boxes, [['.events', true, true, 0], ['.mistakes', true, true, 0], ['.failed-calls', true, true, 0]]);
});

visitAtNight('a wrong setting says in the dialog what is wrong with it', async (visit) => {
  visit.tolerate(/status of 4(09|22)/);
  const { url } = await startWithDashboard(visit);
  const page = await logIn(visit, desktop, url, '#/keys');
  await page.getByRole('button', { name: 'New key' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Pages that may use it').fill('example.org');
  await dialog.getByRole('button', { name: 'Create' }).click();
  const field = dialog.locator('[data-setting="origins"]');
  const problem = field.getByRole('alert').filter({ hasText: 'https://example.org' });
  await problem.waitFor();
  const [problemBox, actions] = [await problem.boundingBox(), await dialog.locator('.actions').boundingBox()];
  assert.ok(problemBox && actions && problemBox.y > 0 && problemBox.y + problemBox.height <= actions.y, 'the error is in view');
  assert.ok(await dialog.getByLabel('Pages that may use it').evaluate((input) => input === document.activeElement));
  await dialog.getByLabel('Pages that may use it').fill('');
  await dialog.getByLabel('Key', { exact: true }).fill('chess');
  await dialog.getByRole('button', { name: 'Create' }).click();
  await dialog.getByRole('button', { name: 'Close' }).click();
  await page.getByRole('button', { name: 'Change chess' }).waitFor();
});

visitAtNight('a chart has a gap where a number is missing', async (visit) => {
  const { url } = await startWithDashboard(visit, [], { token: null });
  const page = await visit.open(desktop, url);

  const lines = await page.evaluate(async () => {
    const { sparkline } = await import('./dashboard/sparkline.js');
    const chart = sparkline('Clients');
    chart.show([undefined, 1, 2, undefined, 2, 1], String);
    const path = chart.element.querySelector('.line').getAttribute('d');
    return path.split('M').slice(1).map((line) => line.split('L').map((point) => Number.parseInt(point)));
  });

  assert.deepEqual(lines, [[56, 57], [59, 60]]);
});

visit('what clients do wrong is shown in words', async (visit) => {
  const { server, url } = await startWithDashboard(visit);
  const page = await logIn(visit, desktop, url);
  await page.getByText('No mistakes within the last hour.').waitFor();
  const client = await visit.client(await visit.site());
  await client.start(server, 'anna', { key: 'peerjss' });
  await page.getByText('A client asked for the key "peerjss"').waitFor();
  await page.getByText('The key here is "peerjs"').waitFor();
  await page.getByText('A client was refused: there is no such key, or it is disabled').waitFor();
  await fetch(`http://127.0.0.1:${server.port}/wrong`);
  const events = page.getByRole('list', { name: 'Happening now' });
  await events.getByText('A client asked for "/wrong" (GET), which is not here').waitFor();
  await page.getByText(/from 127\.0\.0\.1, GET "\/wrong"$/).waitFor();
  for (const id of ['bert', 'clara']) {
    const socket = await PeerSocket.open(`http://127.0.0.1:${server.port}/`, { id });
    socket.send({ type: 'HELLO' });
    const event = events.getByRole('listitem').filter({ hasText: 'A client sent the type "HELLO" at …/peerjs, which does nothing' });
    await event.filter({ hasText: `key peerjs · id ${id} · from 127.0.0.1` }).waitFor();
  }
});

visit('the health of the relay is told in words, and each number has its unit', async (visit) => {
  const { server, url } = await startWithDashboard(visit, ['--relay', '127.0.0.1:0', '--relay_private']);
  const anna = await PeerSocket.open(`http://127.0.0.1:${server.port}/`, { id: 'anna' });
  anna.send({ type: 'LEAVE', dst: 'nobody' });
  const page = await logIn(visit, phone, url, '#/health');
  await page.getByText('0 calls with both clients at the relay').waitFor();
  await page.getByRole('columnheader', { name: 'dropped: peer absent' }).waitFor();
  await page.getByRole('rowheader', { name: 'Leave' }).waitFor();
  const bare = await page.evaluate(() => Array.from(document.querySelectorAll('.health dd'), (value) => value.textContent).filter((text) => /^[\d,]*$/.test(text)));
  assert.deepEqual(bare, []);
  await fits(page, phone);
});

visit('on a phone the buttons of a long dialog hide nothing of it', async (visit) => {
  const { url } = await startWithDashboard(visit, visit.keys().flags);
  const page = await logIn(visit, phone, url, '#/keys');
  await page.getByRole('button', { name: 'New key' }).tap();
  await page.getByRole('button', { name: 'Create' }).waitFor({ state: 'attached' });
  const hidden = await page.evaluate(() => {
    const bar = document.querySelector('dialog .actions').getBoundingClientRect();
    const parts = Array.from(document.querySelectorAll('dialog :is(label, input, select, textarea, .note)')).filter((part) => part.checkVisibility());
    return parts.filter((part) => part.getBoundingClientRect().bottom > bar.top && part.getBoundingClientRect().top < bar.bottom).map((part) => part.textContent);
  });
  assert.deepEqual(hidden, []);
  await page.getByRole('button', { name: 'Create' }).tap();
  await page.getByRole('dialog').getByText('New key').waitFor({ state: 'detached' });
});

for (const device of screens) {
  visit(`a call that the relay could not carry is shown with its reason (${device.name})`, async (visit) => {
    const flags = ['--relay', '127.0.0.1:0', '--relay_private', '--relay_mode', 'always'];
    const { server, url, api } = await startWithDashboard(visit, flags);
    await api('POST', '/api/keys', { key: 'chess', relay: 'always', relay_calls_per_key: 0 });
    const page = await logIn(visit, device, url);
    await page.getByText('No failed call is known.').waitFor();
    const outcome = (name) => page.locator(`[data-outcome="${name}"] dd`);
    assert.equal(await outcome('failed').textContent(), '0');

    const site = await visit.site();
    const [anna, ben] = [await visit.client(site), await visit.client(site)];
    await anna.open(server, 'anna', { key: 'chess' });
    await ben.open(server, 'ben', { key: 'chess' });
    await anna.dial('ben');
    await page.locator('[data-calls]').getByText('anna to ben').waitFor();
    await page.getByText('key chess · the relay had reached a limit').waitFor();
    await page.getByText('A call failed: the relay had reached a limit').waitFor();
    assert.equal(await outcome('failed').textContent(), '1');
    await usable(page, device, 'failed calls');
  });
}

visitAtNight('a key has limits of its own for the relay, and later those of the server', async (visit) => {
  const { url, api } = await startWithDashboard(visit);
  await api('POST', '/api/keys', { key: 'chess' });
  const page = await logIn(visit, desktop, url, '#/keys');
  const dialog = page.getByRole('dialog');
  const change = async (value) => {
    await page.getByRole('button', { name: 'Change chess' }).click();
    await dialog.getByText('More settings').click();
    await dialog.getByLabel('Bytes per second of a relayed call').fill(value);
    await dialog.getByRole('button', { name: 'Save' }).click();
    await dialog.waitFor({ state: 'detached' });
    const { json } = await api('GET', '/api/keys/chess');
    return [json.relay_bytes_per_second, json.relay_calls_per_key];
  };
  assert.deepEqual(await change('2500000'), [2_500_000, undefined]);
  assert.deepEqual(await change(''), [undefined, undefined]);
});

visit('the test of a key says what a client sees', async (visit) => {
  const { url, api } = await startWithDashboard(visit);
  visit.tolerate(/status of 404/);
  await api('POST', '/api/keys', { key: 'theirs', origins: ['https://example.org'] });
  await api('POST', '/api/keys', { key: 'proved', auth: { method: 'jwt', kind: 'secret', value: 'x'.repeat(32) } });
  await api('POST', '/api/keys', { key: 'off', enabled: false });
  await api('POST', '/api/keys', { key: 'open', allow_discovery: true });
  const page = await logIn(visit, desktop, url, '#/test/open');
  const step = (name) => page.locator(`[data-step="${name}"]`);
  const run = async (key, state) => {
    await page.getByLabel('Key').fill(key);
    await page.getByRole('button', { name: /^Test/ }).click();
    await page.locator(`#test-summary[data-state="${state}"]`).waitFor();
  };
  await run('open', 'ok');
  for (const name of ['settings', 'id', 'peer-a', 'peer-b', 'introduce', 'direct', 'discovery', 'ice']) {
    assert.equal(await step(name).getAttribute('data-state'), 'ok', name);
  }
  for (const [key, words] of [
    ['theirs', 'Only pages of https://example.org may use it'],
    ['proved', 'Clients must prove their ids'],
    ['off', 'The key is disabled'],
    ['nothing', 'There is no key “nothing”'],
  ]) {
    await run(key, 'failed');
    assert.ok((await step('settings').textContent()).includes(words), key);
  }
});

visitAtNight('very many clients come in pages, and a search finds one of them', async (visit) => {
  const { server, url } = await startWithDashboard(visit);
  const other = await visit.page(desktop);
  await other.goto(`http://127.0.0.1:${server.port}/broker/`);
  await other.evaluate(async (port) => {
    const open = (id) => new Promise((resolve) => {
      new WebSocket(`ws://127.0.0.1:${port}/peerjs?key=peerjs&id=${id}&token=t`).onmessage = resolve;
    });
    for (let n = 100; n < 170; n += 1) await open(`client-${n}`);
  }, server.port);
  const page = await logIn(visit, desktop, url, '#/keys/peerjs');
  const rows = page.locator('tbody tr');
  await rows.nth(49).waitFor();
  assert.equal(await rows.count(), 50);
  await page.getByRole('button', { name: 'Show more' }).click();
  await rows.nth(69).waitFor();
  await page.getByLabel('Search').fill('CLIENT-16');
  await page.getByRole('button', { name: 'Kick client-100' }).waitFor({ state: 'detached' });
  assert.equal(await rows.count(), 10);
  await page.getByLabel('Search').fill('nobody');
  await page.getByText('Nothing found.').waitFor();
});

visit('a search for an id shows why its client was refused, whatever its key was', async (visit) => {
  const { server, url } = await startWithDashboard(visit);
  for (const id of ['user-1', 'user-17']) await new PeerSocket(`http://127.0.0.1:${server.port}/`, { id, key: 'old' }).frame('ERROR');
  const page = await logIn(visit, desktop, url, '#/keys/peerjs');
  await page.getByLabel('Search').fill('user-17');
  await page.getByRole('heading', { name: 'Refused lately' }).waitFor();
  const refused = page.getByRole('listitem').filter({ hasText: 'user-17' });
  assert.match(await refused.innerText(), /key old, from 127\.0\.0\.1/);
  assert.equal(await page.getByText('user-1:').count(), 0);
  await page.getByLabel('Search').fill('');
  await page.getByRole('heading', { name: 'Refused lately' }).waitFor({ state: 'detached' });
});

/** Reports a connection, as the served peerjs.js does. */
async function reports(server, report) {
  const body = JSON.stringify({ kind: 'data', caller: true, ...report });
  const { status } = await fetch(`http://127.0.0.1:${server.port}/peerjs/reports`, { method: 'POST', body });
  assert.equal(status, 204);
}

visit('reported connections are counted by way and reason, and shown with their clients', async (visit) => {
  const { server, url } = await startWithDashboard(visit, ['--call_reports']);
  const client = await visit.client(await visit.site());
  await client.open(server, 'anna');
  await reports(server, { id: 'anna', peer: 'ben', way: 'direct', open_ms: 1234, duration_ms: 61_000, sent_bytes: 5_000 });
  const page = await logIn(visit, desktop, url, '#/keys/peerjs');
  await page.getByRole('link', { name: 'Calls' }).click();
  await shows(page, 'opened', '100 %');
  // The page follows those that fail.
  await reports(server, { id: 'cleo', peer: 'ben', reason: 'no_udp', states: ['checking', 'failed'], local: ['host'] });
  await shows(page, 'opened', '50 %');
  await page.getByText('1 of 2 connections').waitFor();
  assert.equal(await page.locator('[data-detail="no_udp"] dd').innerText(), '1');
  const [latest, first] = await page.getByRole('list', { name: 'Last reports' }).getByRole('listitem').allInnerTexts();
  assert.match(latest, /cleo to ben[^]*failed: no STUN or TURN server answered[^]*checking, failed · candidates host and none/);
  assert.match(first, /anna to ben[^]*went directly · opened in 1,234 ms · for 1 min 1 s · 5 KB sent/);

  await page.getByRole('link', { name: '← Clients' }).click();
  await page.getByRole('button', { name: 'Details anna' }).click();
  await page.getByRole('heading', { name: 'Last calls' }).waitFor();
  assert.deepEqual(await page.getByRole('dialog').getByRole('listitem').count(), 1);
  await page.keyboard.press('Escape');
  await page.getByRole('navigation').getByRole('link', { name: 'Overview' }).click();
  await page.getByText('cleo reports a connection that failed').waitFor();
});

visit('a server that stops and comes back is noticed, and a changed token asks for a login', async (visit) => {
  visit.tolerate(UNREACHABLE);
  visit.tolerate(/status of 401/);
  const { server, url, port } = await startWithDashboard(visit);
  const page = await logIn(visit, desktop, url);
  await server.stop();
  await page.locator('#status[data-state="lost"]').waitFor();
  await visit.server(['--ops_port', String(port), '--admin_token', TOKEN]);
  await isLive(page);
  const changed = await startAgain(visit, port, page);
  await page.getByLabel('Admin token').waitFor();
  await page.getByLabel('Admin token').fill('the-new-token-of-the-operator');
  await page.keyboard.press('Enter');
  await isLive(page);
  assert.equal((await changed.api('GET', '/api/stats')).status, 200);
});

/** Replaces the latest server by one with another token. */
async function startAgain(visit, port, page) {
  await visit.stopLatest();
  await page.locator('#status[data-state="lost"]').waitFor();
  const token = 'the-new-token-of-the-operator';
  const server = await visit.server(['--ops_port', String(port), '--admin_token', token]);
  return dashboardOf(server, token);
}

visitAtNight('a key is made and removed by keyboard alone', async (visit) => {
  const { url } = await startWithDashboard(visit);
  visit.tolerate(/status of 401/);
  const page = await visit.open(desktop, url);
  const { keyboard } = page;
  const focus = async (name) => {
    for (let pressed = 0; pressed < 60; pressed += 1) {
      const at = await page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim());
      if (at === name) return;
      await keyboard.press('Tab');
    }
    assert.fail(`Tab does not lead to ${name}`);
  };
  await page.getByLabel('Admin token').waitFor();
  await keyboard.type(TOKEN);
  await keyboard.press('Enter');
  await isLive(page);
  await focus('Keys');
  await keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Keys' }).waitFor();
  await focus('New key');
  await keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await keyboard.type('chess');
  await keyboard.press('Enter');
  await page.getByText('The key is active').waitFor();
  await keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Remove chess' }).waitFor();
  await focus('Remove chess');
  await keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Remove chess?' }).waitFor();
  await keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await focus('Remove chess');
  await keyboard.press('Enter');
  await focus('Remove');
  await keyboard.press('Enter');
  await page.getByRole('button', { name: 'Remove chess' }).waitFor({ state: 'detached' });
});

for (const device of appearances) {
  visit(`everybody can use the dashboard (${device.name})`, async (visit) => {
    visit.tolerate(/status of 401/);
    const { server, url, api } = await startWithDashboard(visit, ['--relay', '127.0.0.1:0', '--relay_private', '--call_reports']);
    await api('POST', '/api/keys', { key: 'a-key-with-a-very-long-name-that-has-to-be-broken-somewhere', name: 'My chess club', origins: ['https://chess.example.org'] });
    const client = await visit.client(await visit.site());
    await client.open(server, 'anna');
    await client.start(server, 'ben', { key: 'peerjss' });
    // Before the page is there: the list of rooms is made anew after news of a room.
    const data = { name: 'A name that is so long that the table has to break it somewhere', colour: 'mediumaquamarine' };
    await member(server, 'cleo', 'a-room-with-a-name-that-is-as-long-as-the-name-of-a-room-can-be', data);
    const page = await visit.open(device, url);
    await page.getByLabel('Admin token').waitFor();
    await usable(page, device, 'login');
    await page.getByLabel('Admin token').fill(TOKEN);
    await page.keyboard.press('Enter');
    await isLive(page);
    await page.getByText('A client asked for the key').waitFor();
    await usable(page, device, 'overview');
    await goTo(page, device, 'Keys');
    await page.getByRole('button', { name: /^Remove a-key/ }).waitFor();
    await usable(page, device, 'keys');
    for (const name of ['New key', /^Change a-key/, /^Disable a-key/]) {
      await page.getByRole('button', { name })[device.press]();
      await page.getByRole('dialog').waitFor();
      await accessible(page, String(name));
      await fits(page, device);
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
    }
    await page.getByRole('link', { name: 'Clients of peerjs' })[device.press]();
    await page.getByRole('button', { name: 'Kick anna' }).waitFor();
    await usable(page, device, 'clients');
    await page.getByRole('button', { name: 'Details anna' })[device.press]();
    await page.getByRole('dialog').waitFor();
    await accessible(page, 'details');
    await page.keyboard.press('Escape');
    await reports(server, { id: 'anna', peer: 'an-id-that-is-so-long-that-the-list-has-to-break-it-somewhere', reason: 'no_relay', local: ['host', 'srflx'] });
    await page.getByRole('link', { name: 'Calls' })[device.press]();
    await page.getByText('failed: the networks need a relay').waitFor();
    await usable(page, device, 'calls');
    await page.getByRole('link', { name: '← Clients' })[device.press]();
    await page.getByRole('link', { name: 'Rooms' })[device.press]();
    await page.getByRole('link', { name: /^a-room/ }).waitFor();
    await usable(page, device, 'rooms');
    await page.getByRole('link', { name: /^a-room/ })[device.press]();
    await page.getByText('mediumaquamarine').waitFor();
    await usable(page, device, 'members');
    await goTo(page, device, 'Test');
    await page.getByLabel('Key').fill('peerjs');
    await page.getByRole('button', { name: 'Test', exact: true })[device.press]();
    await page.locator('#test-summary[data-state="ok"]').waitFor();
    await usable(page, device, 'test');
    await goTo(page, device, 'Health');
    await page.getByText('Ready for clients').waitFor();
    await usable(page, device, 'health');
  });
}

/** A client that is in a room. */
async function member(server, id, room, data) {
  const client = await PeerSocket.open(`http://127.0.0.1:${server.port}/`, { id });
  client.send({ type: 'ROOM-JOIN', room, data });
  await client.frame('ROOM-MEMBERS');
  return client;
}

if (isThorough) {
  test('Firefox shows the dashboard, and keeps the login', { timeout: LIMIT }, async (t) => {
    const server = await startServer(['--ops_port', '0', '--admin_token', TOKEN]);
    t.after(() => server.stop());
    const { url } = await dashboardOf(server);
    const page = await newPage('firefox');
    t.after(() => page.close());
    page.setDefaultTimeout(PATIENCE);
    await within('the dashboard to load', page.goto(url));
    await page.locator('#token').fill(TOKEN);
    await page.locator('#login-form .primary').click();
    const number = (text) => page.waitForFunction((wanted) => document.querySelector('[data-number="clients"] .value')?.textContent === wanted, {}, text);
    await number('0');
    await within('the dashboard to load again', page.reload());
    await number('0');
    await page.evaluate((port) => {
      window.socket = new WebSocket(`ws://127.0.0.1:${port}/peerjs?key=peerjs&id=anna&token=t`);
    }, server.port);
    await number('1');
    await page.evaluate(() => window.socket.close());
    await number('0');
  });
}
