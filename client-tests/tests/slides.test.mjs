// The slide remote: a presentation at a desk, and phones that turn its slides.

import assert from 'node:assert/strict';
import { localLink, says, scan } from '../lib/demos.mjs';
import { fits } from '../lib/layout.mjs';
import { isThorough } from '../lib/thorough.mjs';
import { UNREACHABLE, desktop, layouts, phone, screens, smallPhone, urlOf, visit, visitAtNight } from '../lib/visit.mjs';

const SLIDES = '/broker/slides/';
const TITLES = [
  'Two browsers want to talk',
  'They meet at a broker',
  'One offers, one answers',
  'They try every path',
  'The broker steps aside',
  'That was you, just now',
];

const places = [
  { where: 'at /', flags: [], path: '/' },
  { where: 'at /myapp with an odd key', flags: ['--path', '/myapp', '--key', '50% ü/&#'], path: '/myapp/' },
  { where: 'over TLS', flags: [], path: '/', tls: true },
];

for (const { where, flags, path, tls } of isThorough ? places : places.slice(0, 1)) {
  visit(`${where} a phone scans the code and turns the slides`, async (visit) => {
    const server = await visit.server(flags, { tls });
    const presenter = await present(visit, urlOf(server, `${path}broker/slides/`, 'lan.test'));

    const link = await scan(presenter);
    assert.equal(link, await presenter.locator('#join-link').getAttribute('href'));
    const remote = await join(visit, link);
    await says(presenter, 'connected', '1 phone connected');
    await shows(presenter, remote, 1);

    await remote.locator('#remote-next').tap();
    await shows(presenter, remote, 2);
    await remote.locator('#remote-next').tap();
    await shows(presenter, remote, 3);
    await remote.locator('#remote-previous').tap();
    await shows(presenter, remote, 2);
  });
}

visit('a phone without WebRTC turns the slides over the broker, and the slides say so', async (visit) => {
  const server = await visit.server();
  const presenter = await present(visit, urlOf(server, SLIDES));
  const link = await localLink(presenter);
  const remote = await visit.open(phone, link, { webRtc: false });
  await says(remote, 'connected', 'Connected over the broker, encrypted');
  await says(presenter, 'connected', '1 phone connected over the broker, encrypted');

  for (const title of [...TITLES.slice(1, 4), 'The broker carries the data', TITLES[5]]) {
    await remote.locator('#remote-next').tap();
    for (const page of [presenter.locator('#slide-title'), remote.locator('#remote-title')]) await page.getByText(title, { exact: true }).waitFor();
  }
  await presenter.locator('#slide-text', { hasText: 'goes over the broker, encrypted' }).waitFor();
  await presenter.locator('#live-facts', { hasText: 'went over the broker, encrypted' }).waitFor();
  assert.equal(await presenter.locator('#stage [data-direct]:not(.off)').count(), 0);

  await remote.close();
  await says(presenter, 'ready', 'No phone connected');
  await presenter.locator('#slide-text', { hasText: 'uses this direct connection' }).waitFor();
  const direct = await join(visit, link);
  await direct.locator('#remote-title', { hasText: TITLES[5] }).waitFor();
  await says(presenter, 'connected', '1 phone connected');
  await presenter.locator('#live-facts', { hasText: 'did not touch the broker' }).waitFor();
});

visitAtNight('the remote ends where the slides do', async (visit) => {
  const presenter = await present(visit, urlOf(await visit.server(), SLIDES));
  const remote = await join(visit, await localLink(presenter));

  assert.equal(await remote.locator('#remote-previous').isDisabled(), true);
  for (const at of [2, 3, 4, 5, 6]) {
    await remote.locator('#remote-next').tap();
    await shows(presenter, remote, at);
  }
  assert.equal(await remote.locator('#remote-next').isDisabled(), true);
  assert.equal(await remote.locator('#remote-upcoming').innerText(), 'This is the last slide');
  await presenter.locator('#live-facts', { hasText: 'did not touch the broker' }).waitFor();
});

visitAtNight('the slides turn by key and button, and the phone hears of it', async (visit) => {
  const presenter = await present(visit, urlOf(await visit.server(), SLIDES));
  const remote = await join(visit, await localLink(presenter));

  for (const [key, at] of [['ArrowRight', 2], ['Space', 3], ['PageDown', 4], ['ArrowLeft', 3], ['End', 6], ['Home', 1]]) {
    await presenter.keyboard.press(key);
    await shows(presenter, remote, at);
  }
  await presenter.locator('#next').click();
  await shows(presenter, remote, 2);
  await presenter.locator('#previous').click();
  await shows(presenter, remote, 1);
});

visit('a phone asks which slide is shown, and need not be told when it comes', async (visit) => {
  const presenter = await present(visit, urlOf(await visit.server(), SLIDES));
  // On a busy machine, a message sent just when a channel opens is sometimes lost.
  await presenter.evaluate(() => {
    const { send } = RTCDataChannel.prototype;
    RTCDataChannel.prototype.send = function (data) {
      if (!new TextDecoder().decode(data).includes('"position"')) send.call(this, data);
    };
  });
  await shows(presenter, await join(visit, await localLink(presenter)), 1);
});

visit('a phone that opens the address of the slides without their code is told to scan that', async (visit) => {
  const url = urlOf(await visit.server(), SLIDES, 'lan.test');
  const [hand, desk] = [await present(visit, url, phone), await present(visit, url)];
  const advice = (page) => page.getByText('This phone has begun a presentation of its own. To turn the slides on a computer, scan the code on its screen.');
  const { y, height } = await advice(hand).boundingBox();
  assert.ok(y + height < phone.viewport.height / 2, 'it is at the top');
  assert.equal(await advice(desk).isVisible(), false);
});

visitAtNight('two phones turn the same slides, and one may leave', async (visit) => {
  const presenter = await present(visit, urlOf(await visit.server(), SLIDES));
  const link = await localLink(presenter);
  const anna = await join(visit, link);
  await anna.locator('#remote-next').tap();
  await shows(presenter, anna, 2);

  const ben = await join(visit, link, smallPhone);
  await says(presenter, 'connected', '2 phones connected');
  await shows(presenter, ben, 2);
  await ben.locator('#remote-next').tap();
  await shows(presenter, anna, 3);
  await shows(presenter, ben, 3);

  await anna.close();
  await says(presenter, 'connected', '1 phone connected');
  await ben.locator('#remote-previous').tap();
  await shows(presenter, ben, 2);

  await ben.close();
  await says(presenter, 'ready', 'No phone connected');
});

visit('a presentation that is reloaded keeps id and slide, and its phones come back', async (visit) => {
  const presenter = await present(visit, urlOf(await visit.server(), SLIDES));
  const link = await localLink(presenter);
  const [anna, ben] = [await join(visit, link), await join(visit, link)];
  await anna.locator('#remote-next').tap();
  await shows(presenter, ben, 2);

  await presenter.reload();
  await says(presenter, 'connected', '2 phones connected');

  assert.equal(await localLink(presenter), link);
  await shows(presenter, anna, 2);
  await ben.locator('#remote-next').tap();
  await shows(presenter, anna, 3);
});

visitAtNight('a phone that is reloaded comes back as the same one', async (visit) => {
  const presenter = await present(visit, urlOf(await visit.server(), SLIDES));
  const remote = await join(visit, await localLink(presenter));

  const id = await presenter.locator('#stage-phone-id').textContent();

  await remote.reload();
  await says(remote, 'connected', 'Connected');

  await remote.locator('#remote-next').tap();
  await shows(presenter, remote, 2);
  await says(presenter, 'connected', '1 phone connected');
  assert.equal(await presenter.locator('#stage-phone-id').textContent(), id);
});

visit('when the broker dies the slides go on, and both sides say so', async (visit) => {
  const server = await visit.server();
  const presenter = await present(visit, urlOf(server, SLIDES));
  const remote = await join(visit, await localLink(presenter));

  visit.tolerate(UNREACHABLE);
  server.signal('SIGKILL');
  await says(remote, 'connected', 'Connected; the broker is not reachable');
  await says(presenter, 'retrying', '1 phone connected. The broker is not reachable: new phones have to wait.');

  await remote.locator('#remote-next').tap();
  await shows(presenter, remote, 2);
});

visit('when the broker comes back so do both sides, and another phone can join', async (visit) => {
  const first = await visit.server();
  const proxy = await visit.proxy(first);
  const presenter = await present(visit, urlOf(proxy, SLIDES));
  const link = await localLink(presenter);
  const anna = await join(visit, link);

  visit.tolerate(UNREACHABLE);
  await first.stop();
  // Both must notice it, so that their next status is about the new broker.
  await says(anna, 'connected', 'Connected; the broker is not reachable');
  await says(presenter, 'retrying', '1 phone connected. The broker is not reachable: new phones have to wait.');
  proxy.leadTo(await visit.server());
  await says(anna, 'connected', 'Connected');
  await says(presenter, 'connected', '1 phone connected');

  const ben = await join(visit, link);
  await says(presenter, 'connected', '2 phones connected');
  await ben.locator('#remote-next').tap();
  await shows(presenter, anna, 2);
});

visitAtNight('a phone without a broker says so, and how to get on', async (visit) => {
  const server = await visit.server();
  const presenter = await present(visit, urlOf(server, SLIDES));
  const remote = await join(visit, await localLink(presenter));

  visit.tolerate(UNREACHABLE);
  await server.stop();
  await says(remote, 'connected', 'Connected; the broker is not reachable');
  await presenter.close();

  await problem(remote, 'broker', /Check that peerbroker is running/);
  await fits(remote, phone);
});

visit('a phone whose presentation is closed says so', async (visit) => {
  const presenter = await present(visit, urlOf(await visit.server(['--expire_timeout', '500']), SLIDES));
  const remote = await join(visit, await localLink(presenter));

  await presenter.close();

  await problem(remote, 'absent', /If it shows a new code, scan that one/);
  assert.equal(await remote.locator('#remote-next').isDisabled(), true);
  await fits(remote, phone);
});

visitAtNight('a link to a presentation that never was says so', async (visit) => {
  const server = await visit.server(['--expire_timeout', '500']);
  const remote = await visit.open(phone, urlOf(server, `${SLIDES}#remote=nobody`));

  await problem(remote, 'absent', /Open it on the computer/);
  await remote.locator('#retry').tap();
  await problem(remote, 'absent', /Open it on the computer/);
});

for (const id of ['', '-', 'a/b']) {
  visitAtNight(`a link that lost its end says so (${JSON.stringify(id)})`, async (visit) => {
    const remote = await visit.open(smallPhone, urlOf(await visit.server(), `${SLIDES}#remote=${encodeURIComponent(id)}`));

    await problem(remote, 'link', /Scan the code on the presentation’s screen again/);
    assert.equal(await remote.locator('#retry').isVisible(), false);
    await fits(remote, smallPhone);
  });
}

visitAtNight('opened as localhost the code leads to the address in the network', async (visit) => {
  const server = await visit.server();
  const presenter = await visit.page(desktop);
  // The output of a server that listens on all addresses.
  await presenter.addInitScript(() => {
    new MutationObserver(() => {
      document.documentElement.dataset.lanHost = '192.168.1.20';
    }).observe(document, { childList: true });
  });
  await presenter.goto(urlOf(server, SLIDES));
  await presenter.locator('#qr svg').waitFor();

  const link = new URL(await scan(presenter));
  assert.equal(link.origin, `http://192.168.1.20:${server.port}`);
  assert.equal(link.href, await presenter.locator('#join-link').getAttribute('href'));
});

visitAtNight('a server that no phone can reach offers a second window instead', async (visit) => {
  const presenter = await present(visit, urlOf(await visit.server(), SLIDES));

  assert.equal(await presenter.locator('#qr').isVisible(), false);
  const [remote] = await Promise.all([presenter.context().waitForEvent('page'), presenter.locator('#local-link').click()]);
  await remote.locator('#status[data-state="connected"]').waitFor();

  await remote.locator('#remote-next').click();
  await shows(presenter, remote, 2);
});

for (const device of screens) {
  visitAtNight(`without the PeerJS library the page says so (${device.name})`, async (visit) => {
    const server = await visit.server();
    const page = await visit.page(device);
    await page.route('**/peerjs.min.js', (route) => route.abort());
    visit.tolerate(UNREACHABLE);
    await page.goto(urlOf(server, SLIDES));

    await page.locator('#broken', { hasText: 'The PeerJS library did not load' }).waitFor();
    await fits(page, device);
    await page.unroute('**/peerjs.min.js');
    await page.locator('#reload')[device.press]();
    await page.locator('#slide-title', { hasText: TITLES[0] }).waitFor();
  });
}

visitAtNight('without the QR library the link is still there to be sent', async (visit) => {
  const server = await visit.server();
  const presenter = await visit.page(desktop);
  await presenter.route('**/qrcode.min.js', (route) => route.abort());
  visit.tolerate(UNREACHABLE);
  await presenter.goto(urlOf(server, SLIDES, 'lan.test'));

  await presenter.locator('#join-hint', { hasText: 'Send this link to the phone instead' }).waitFor();
  await join(visit, await presenter.locator('#join-link').getAttribute('href'));
});

for (const device of layouts) {
  visit(`nothing sticks out of presentation and remote, and every button can be hit (${device.name})`, async (visit) => {
    const presenter = await present(visit, urlOf(await visit.server(), SLIDES, 'lan.test'), device);
    await presenter.locator('#join summary')[device.press]();
    await fits(presenter, device);
    const remote = await join(visit, await presenter.locator('#join-link').getAttribute('href'), device);

    for (const at of [2, 3, 4, 5, 6]) {
      await remote.locator('#remote-next')[device.press]();
      await shows(presenter, remote, at);
      await fits(presenter, device);
      await fits(remote, device);
    }
  });
}

/** Opens the presentation and waits until phones can come. */
async function present(visit, url, device = desktop) {
  const presenter = await visit.open(device, url);
  await says(presenter, 'ready', 'Waiting for a phone');
  return presenter;
}

async function join(visit, link, device = phone) {
  const remote = await visit.open(device, link);
  await says(remote, 'connected', 'Connected');
  // Its buttons are disabled until it knows the current slide.
  await remote.locator('#remote-number', { hasText: /^Slide \d of \d$/ }).waitFor();
  return remote;
}

/** Both sides show this slide, counted from 1. */
async function shows(presenter, remote, at) {
  const title = TITLES[at - 1];
  await presenter.locator('#slide-title', { hasText: title }).waitFor();
  await remote.locator('#remote-title', { hasText: title }).waitFor();
  assert.equal(await presenter.locator('#slide-number').innerText(), String(at));
  assert.equal(await remote.locator('#remote-number').innerText(), `Slide ${at} of ${TITLES.length}`);
}

async function problem(remote, name, advice) {
  const box = remote.locator(`#problem[data-problem="${name}"]`);
  await box.waitFor();
  assert.match(await box.innerText(), advice);
}
