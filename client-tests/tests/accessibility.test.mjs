// Every built-in page in its states: axe-core finds nothing serious, Tab reaches everything, and nothing sticks out.
// On a computer in light colours; with THOROUGH=1, on a phone and in dark colours, and the demos, too.

import { hasten, recordPhases, reaches } from '../lib/arena.mjs';
import { accessible, usable } from '../lib/accessible.mjs';
import { listen, localLink, says } from '../lib/demos.mjs';
import { fits } from '../lib/layout.mjs';
import { isThorough } from '../lib/thorough.mjs';
import { talking } from '../lib/video.mjs';
import { appearances, urlOf, visit, visitAtNight } from '../lib/visit.mjs';

const REGISTRATION = ['--registration', 'open', '--no_default_key'];

for (const device of appearances) {
  const pages = (what, run, at = visit) => at(`everybody can use ${what} (${device.name})`, run);
  const demo = (what, run) => pages(what, run, visitAtNight);

  pages('the landing page and its test', async (visit) => {
    const page = await visit.open(device, urlOf(await visit.server(['--relay', '127.0.0.1:0', '--relay_private']), '/', 'lan.test'));
    await usable(page, device, 'landing page');

    await page.locator('#test-broker')[device.press]();
    await page.locator('#test-summary[data-state="ok"]').waitFor();
    await page.getByRole('button', { name: 'Test the relay' })[device.press]();
    await page.locator('#test-summary:has-text("through the relay")').waitFor();
    if (device.isMobile) await page.locator('.computer summary').tap();
    await usable(page, device, 'landing page after the test');
  });

  pages('the registration of a key', async (visit) => {
    const page = await visit.open(device, urlOf(await visit.server(REGISTRATION), '/'));
    visit.tolerate(/status of 422/);
    await usable(page, device, 'form');
    for (const origin of ['https://*.example.org', 'https://example.org']) {
      await page.getByLabel('Name of your app').fill('My game');
      await page.getByLabel('Address of its pages').fill(origin);
      const answered = page.waitForEvent('domcontentloaded');
      await page.getByRole('button', { name: 'Get a key' })[device.press]();
      await answered;
      await usable(page, device, origin);
    }
    await page.locator('#key').waitFor();
  });

  pages('the documentation', async (visit) => {
    const page = await visit.open(device, urlOf(await visit.server(), '/broker/docs/'));
    await usable(page, device, 'list');
    await page.getByLabel('Search all documents').fill('certificate');
    await page.locator('#results a').first().waitFor();
    await usable(page, device, 'results');
    const links = await page.locator('.document h3 > a:not(.section-link)').evaluateAll((all) => all.map(({ href }) => href));
    for (const [index, link] of links.entries()) {
      await page.goto(link);
      // They have the same elements and colours: a few of them are enough for a change.
      if (isThorough || index < 2) await accessible(page, link);
      await fits(page, device);
    }
  });

  demo('the slides and their remote', async (visit) => {
    const server = await visit.server();
    const presenter = await visit.open(device, urlOf(server, '/broker/slides/', 'lan.test'));
    await presenter.locator('#qr svg').waitFor();
    await usable(presenter, device, 'presenter');
    const remote = await visit.open(device, await presenter.locator('#join-link').getAttribute('href'));
    await says(presenter, 'connected', '1 phone connected');
    await says(remote, 'connected', 'Connected');
    await usable(presenter, device, 'presenter with a phone');
    await usable(remote, device, 'remote');
  });

  demo('the party game', async (visit) => {
    const server = await visit.server();
    const host = await visit.page(device);
    await hasten(host);
    await host.goto(urlOf(server, '/broker/party/?seconds=5', 'lan.test'));
    await host.locator('#qr svg').waitFor();
    await recordPhases(host);
    await usable(host, device, 'room');
    const player = await visit.open(device, await host.locator('#join-link').getAttribute('href'));
    await usable(player, device, 'form');
    await player.locator('#name').fill('Anna');
    await player.locator('#take-seat')[device.press]();
    await says(player, 'connected', 'You are red');
    await usable(player, device, 'controller');
    for (let colour = 8; colour >= 1; colour -= 1) {
      await player.evaluate((own) => (document.body.dataset.colour = own), String(colour));
      await accessible(player, `controller with colour ${colour}`);
    }
    await host.locator('#start')[device.press]();
    await reaches(host, 'over');
    await usable(host, device, 'after the game');
    await usable(player, device, 'controller after the game');
  });

  demo('the call', async (visit) => {
    const server = await visit.server();
    const anna = await visit.open(device, urlOf(server, '/broker/call/'));
    await says(anna, 'ready', 'Waiting for a call');
    await usable(anna, device, 'waiting');
    const ben = await visit.open(device, await localLink(anna));
    await anna.locator('[data-name="accept"]').waitFor();
    await usable(anna, device, 'incoming');
    await usable(ben, device, 'ringing');
    await anna.locator('[data-name="accept"]')[device.press]();
    await talking(anna);
    await usable(anna, device, 'in a call');
    for (const button of ['#mute', '#camera']) await anna.locator(button)[device.press]();
    await ben.locator('#remote-note', { hasText: 'Their camera and microphone are off' }).waitFor();
    await usable(anna, device, 'muted');
    await usable(ben, device, 'with somebody who is muted');
  });

  demo('the lobby', async (visit) => {
    const server = await visit.server();
    const anna = await visit.open(device, urlOf(server, '/broker/lobby/', 'lan.test'));
    await usable(anna, device, 'form');
    await anna.locator('#name').fill('Anna');
    await anna.keyboard.press('Enter');
    await says(anna, 'ready', 'Nobody else is here');
    await usable(anna, device, 'alone');
    await anna.locator('#call')[device.press]();
    await anna.locator('#prompt').waitFor();
    await usable(anna, device, 'without a camera');
    const ben = await visit.open(device, new URL(new URL(anna.url()).hash, urlOf(server, '/broker/lobby/')).href);
    await ben.locator('#name').fill('Ben');
    await ben.keyboard.press('Enter');
    await ben.locator('#call')[device.press]();
    await ben.locator('#people .in-call').waitFor();
    await ben.locator('#message').fill('hello');
    await ben.keyboard.press('Enter');
    await anna.locator('#messages .message').waitFor();
    await usable(anna, device, 'with somebody in the call');
    await usable(ben, device, 'in the call');
  });

  demo('the whiteboard', async (visit) => {
    const server = await visit.server();
    const anna = await visit.open(device, urlOf(server, '/broker/board/', 'lan.test'));
    await says(anna, 'ready', 'Nobody else is connected');
    await usable(anna, device, 'alone');
    const ben = await visit.open(device, await anna.locator('#join-link').getAttribute('href'));
    await says(anna, 'connected', 'Connected to 1 person directly');
    await ben.getByLabel('Drawing').focus();
    for (const key of ['Space', 'ArrowLeft']) await ben.keyboard.press(key);
    await anna.getByLabel('Drawing, 1 stroke').waitFor();
    await usable(anna, device, 'with somebody who draws');
    await ben.getByLabel('Notes').pressSequentially('hello');
    await anna.locator('#writing', { hasText: 'writing' }).waitFor();
    await accessible(anna, 'with somebody who writes');
  });

  demo('the page of peerbroker listen', async (visit) => {
    const server = await visit.server(['--expire_timeout', '500']);
    const page = await visit.open(device, urlOf(server, '/broker/talk'));
    await usable(page, device, 'without an id');
    await page.goto(urlOf(server, '/broker/talk/#desk'));
    await says(page, 'retrying', 'Nobody has this id');
    await usable(page, device, 'without a program');
    const program = await listen(visit, server);
    await says(page, 'connected', 'Connected');
    await page.getByText('Safety number')[device.press]();
    await program.evaluate(async () => (await window.line).send(new Uint8Array(5)));
    await page.getByRole('link', { name: 'Save' }).waitFor();
    await usable(page, device, 'with a message');
  });

  demo('a demo that asks for a key', async (visit) => {
    const page = await visit.open(device, urlOf(await visit.server(['--no_default_key']), '/broker/call/?key=unknown'));
    await page.locator('#key-problem').waitFor();
    await usable(page, device, 'key');
  });
}
