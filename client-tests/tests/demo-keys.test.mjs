// The demos of a broker without a built-in key: they ask for one.

import assert from 'node:assert/strict';
import { localLink, says } from '../lib/demos.mjs';
import { fits } from '../lib/layout.mjs';
import { talking } from '../lib/video.mjs';
import { UNREACHABLE, desktop, phone, urlOf, visit, visitAtNight } from '../lib/visit.mjs';

const KEY = '50% ü/&#';

for (const [demo, ready, join] of /** @type {any[][]} */ ([
  ['slides', 'Waiting for a phone', async (host, page) => {
    await says(host, 'connected', '1 phone connected');
    await page.locator('#remote-next').tap();
    await host.locator('#slide-number', { hasText: '2' }).waitFor();
  }],
  ['party', 'Waiting for players', async (host, page) => {
    await page.locator('#name').fill('Anna');
    await page.locator('#take-seat').tap();
    await says(host, 'connected', '1 player');
    await page.reload();
    await says(page, 'connected', 'You are red');
  }],
  ['call', 'Waiting for a call', async (host, page) => {
    await host.locator('[data-name="accept"]').click();
    await talking(page);
  }],
  ['lobby', 'Not entered yet', async (host, page) => {
    for (const [each, name] of [[host, 'Anna'], [page, 'Ben']]) {
      await each.locator('#name').fill(name);
      await each.keyboard.press('Enter');
    }
    await says(host, 'connected', '1 other is here');
    await says(page, 'connected', '1 other is here');
  }],
  ['board', 'Nobody else is connected', async (host, page) => {
    for (const each of [host, page]) await says(each, 'connected', 'Connected to 1 person directly');
  }],
])) {
  visit(`without a built-in key the demo “${demo}” asks for one, and its link carries it`, async (visit) => {
    const keys = visit.keys();
    await keys.add(KEY);
    const server = await visit.server(keys.flags);
    const host = await visit.open(desktop, urlOf(server, `/broker/${demo}/`));

    await says(host, 'ready', 'A key is needed');
    await host.getByText('Enter an API key that allows pages of').waitFor();
    assert.equal(await host.locator('#key:focus').count(), 1);
    await host.keyboard.type(` ${KEY} `);
    await host.keyboard.press('Enter');
    await says(host, 'ready', ready);

    const link = await localLink(host);
    assert.equal(new URL(link).searchParams.get('key'), KEY);
    await join(host, await visit.open(phone, link));
  });

  visit(`the demo “${demo}” names a key that the broker does not have, before anything else fails`, async (visit) => {
    const keys = visit.keys();
    await keys.add(KEY);
    const server = await visit.server(keys.flags);
    const page = await visit.open(phone, urlOf(server, `/broker/${demo}/?key=${encodeURIComponent('ü wrong')}`));

    await says(page, 'failed', 'A key is needed');
    assert.equal(await page.locator('#key-problem').innerText(), 'This broker has no key “ü wrong”.');
    assert.equal(await page.locator('#key').inputValue(), 'ü wrong');
    await fits(page, phone);
    await page.locator('#key').fill(KEY);
    await page.getByRole('button', { name: 'Go on' }).tap();
    await says(page, 'ready', ready);
  });
}

for (const [where, start, has] of /** @type {any[][]} */ ([
  ['slides/?key=app', () => {}, 'The broker closed the connection: “the key is not valid any more”. New phones cannot connect: reload the page.'],
  ['slides/?key=app#remote=nobody', (page) => says(page, 'failed', 'Trying again…'), 'Not connected'],
  ['lobby/?key=app', async (page) => {
    await page.locator('#name').fill('Anna');
    await page.keyboard.press('Enter');
    await says(page, 'ready', 'Nobody else is here');
  }, 'Not in the lobby'],
  ['talk/?key=app#nobody', (page) => says(page, 'retrying', 'Nobody has this id'), 'Not connected'],
])) {
  visit(`the demo at ${where} says why it does not reconnect when its key is disabled`, async (visit) => {
    const keys = visit.keys();
    await keys.add('app');
    const server = await visit.server(keys.flags);
    const page = await visit.open(desktop, urlOf(server, `/broker/${where}`));
    await start(page);
    visit.tolerate(UNREACHABLE);

    await keys.disable('app');

    await says(page, 'failed', has);
    await page.getByText('The broker closed the connection: “the key is not valid any more”.').waitFor();
  });
}

visitAtNight('a demo says that a key is for pages of other sites', async (visit) => {
  const keys = visit.keys();
  await keys.add('elsewhere', '--origin', 'https://elsewhere.test');
  const server = await visit.server(keys.flags);
  const page = await visit.open(desktop, urlOf(server, '/broker/call/?key=elsewhere'));

  await page.locator('#key-problem', { hasText: `The broker does not let pages of ${urlOf(server, '')} use this key.` }).waitFor();
});

visitAtNight('a wrong key in a link to a phone keeps the room while another one is entered', async (visit) => {
  const keys = visit.keys();
  await keys.add(KEY);
  const server = await visit.server(keys.flags);
  const host = await visit.open(desktop, urlOf(server, `/broker/slides/?key=${encodeURIComponent(KEY)}`));
  await says(host, 'ready', 'Waiting for a phone');
  const link = new URL(await localLink(host));
  link.searchParams.set('key', 'old');

  const remote = await visit.open(phone, link.href);
  await remote.locator('#key').fill(KEY);
  await remote.getByRole('button', { name: 'Go on' }).tap();
  await says(host, 'connected', '1 phone connected');
});
