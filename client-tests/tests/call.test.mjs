// The video call: one page shows a link, and opening the link calls it.

import assert from 'node:assert/strict';
import { localLink, says, scan } from '../lib/demos.mjs';
import { fits, scrollsToItsEnd } from '../lib/layout.mjs';
import { camerasOff, hasPrompted, hearing, recordPrompts, refuse, talking } from '../lib/video.mjs';
import { UNREACHABLE, desktop, layouts, phone, urlOf, visit, visitAtNight } from '../lib/visit.mjs';
import { within } from '../lib/within.mjs';

const CALL = '/broker/call/';
const NOBODY = 'aaaaaaaaaaaaaaaaaaaaa';

visit('a phone scans the code, calls, and both see and hear each other', async (visit) => {
  const server = await visit.server(['--path', '/myapp'], { tls: true });
  const anna = await wait(visit, urlOf(server, '/myapp/broker/call/', 'lan.test'));
  const link = await scan(anna);
  assert.equal(link, await anna.locator('#join-link').getAttribute('href'));
  assert.match(link, /\/call\/#[\w-]{21}$/);
  assert.equal(await anna.locator('#https-note').isVisible(), false);
  await scrollsToItsEnd(anna, '#join');

  const ben = await visit.open(phone, link);
  await press(anna, 'accept');

  await talking(anna);
  await talking(ben);
  const numbers = await Promise.all([anna, ben].map((page) => page.locator('#safety-number:visible').innerText()));
  assert.match(numbers[0], /^\d{4} \d{4} \d{4}$/);
  assert.equal(numbers[0], numbers[1]);
});

for (const [form, linkOf] of /** @type {any[][]} */ ([
  ['in the hash', (link) => link],
  ['in the query', (link) => link.replace('#', '?call=')],
])) {
  visitAtNight(`with the id ${form} the call comes about, and ends when one hangs up`, async (visit) => {
    const anna = await wait(visit, urlOf(await visit.server(), CALL));
    const link = linkOf(await localLink(anna));

    const ben = await talk(visit, anna, link);
    await anna.locator('#hang-up').click();
    await prompts(anna, 'The call is over');
    await prompts(ben, 'The other person hung up');
    await camerasOff(anna, ben);
    await says(anna, 'ready', 'Waiting for a call');

    await press(ben, 'call');
    await press(anna, 'accept');
    await talking(anna);
    await talking(ben);
    await ben.locator('#hang-up').tap();
    await prompts(ben, 'The call is over');
    await prompts(anna, 'The other person hung up');
    await camerasOff(anna, ben);
  });
}

visit('the screen stays on in a call, also after the page was hidden, and blocked sound has a button', async (visit) => {
  const anna = await wait(visit, urlOf(await visit.server(), CALL));
  const link = await localLink(anna);
  const ben = await visit.page(phone);
  await ben.addInitScript(() => {
    let asked = 0;
    Object.defineProperty(navigator, 'wakeLock', { value: { request: async () => { document.documentElement.dataset.asked = `${asked += 1}`; } } });
    const { play } = HTMLMediaElement.prototype;
    HTMLMediaElement.prototype.play = async function () {
      if (this.id === 'remote' && !this.muted) throw new DOMException('blocked', 'NotAllowedError');
      return play.call(this);
    };
  });
  await ben.goto(link);
  await press(anna, 'accept');

  await ben.locator('html[data-asked="1"]').waitFor();
  await ben.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await ben.locator('html[data-asked="2"]').waitFor();
  await ben.getByText('Turn the sound on').tap();
  assert.equal(await ben.locator('#sound').isVisible(), false);
  assert.equal(await ben.locator('#remote').evaluate((/** @type {HTMLVideoElement} */ video) => video.muted), false);
});

visit('a call can be declined, and come again', async (visit) => {
  const anna = await wait(visit, urlOf(await visit.server(), CALL));
  const ben = await visit.open(phone, await localLink(anna));

  await prompts(ben, 'Ringing…');
  await press(anna, 'decline');
  await prompts(anna, 'You declined the call');
  await prompts(ben, 'The call was declined');

  await press(ben, 'call');
  await press(anna, 'accept');
  await talking(ben);
});

visitAtNight('a caller who gives up is missed', async (visit) => {
  const anna = await wait(visit, urlOf(await visit.server(), CALL));
  const link = await localLink(anna);
  const ben = await visit.open(phone, link);

  await prompts(anna, 'Somebody is calling');
  assert.equal(await anna.title(), 'Incoming call – peerbroker');
  await press(ben, 'cancel');
  await prompts(anna, 'You missed a call');
  await prompts(ben, 'The call is over');
  await camerasOff(anna, ben);

  const cleo = await visit.open(phone, link);
  await prompts(anna, 'Somebody is calling');
  await cleo.close();
  await prompts(anna, 'You missed a call');
});

visit('who is in a call is busy for others', async (visit) => {
  const anna = await wait(visit, urlOf(await visit.server(), CALL));
  const link = await localLink(anna);
  const ben = await talk(visit, anna, link);

  const cleo = await visit.open(phone, link);
  await prompts(cleo, 'The other person is in another call');

  await talking(anna);
  await talking(ben);
});

visit('a link behind which nobody is says so', async (visit) => {
  const server = await visit.server();
  const anna = await wait(visit, urlOf(server, CALL));
  const link = await localLink(anna);
  await anna.close();

  for (const dead of [link, urlOf(server, `${CALL}#${NOBODY}`)]) {
    const ben = await visit.page(phone);
    await ben.clock.install();
    await ben.goto(dead);
    await prompts(ben, 'Calling…');
    await ben.clock.fastForward('00:10');
    await prompts(ben, 'Nobody answered at this link');
    await camerasOff(ben);
  }
});

visit('a call that nobody accepts ends', async (visit) => {
  const anna = await wait(visit, urlOf(await visit.server(), CALL));
  const ben = await visit.page(phone);
  await ben.clock.install();
  await ben.goto(await localLink(anna));

  await prompts(ben, 'Ringing…');
  await ben.clock.fastForward('02:00');
  await prompts(ben, 'No answer');
  await prompts(anna, 'You missed a call');
});

visitAtNight('muted and camera off are to be seen at a glance on both sides', async (visit) => {
  const anna = await wait(visit, urlOf(await visit.server(), CALL));
  const ben = await talk(visit, anna, await localLink(anna));
  const signs = async (page) => {
    const shown = (id) => page.locator(id).isVisible();
    return { own: [await shown('#local-note'), await shown('#local-dark')], theirs: [await shown('#remote-note'), await shown('#remote-dark')] };
  };
  const nothing = [false, false];
  assert.deepEqual([await signs(anna), await signs(ben)], [{ own: nothing, theirs: nothing }, { own: nothing, theirs: nothing }]);

  await anna.locator('#mute').click();
  await ben.locator('#remote-note .icon').waitFor();
  assert.equal(await anna.locator('#local-note').innerText(), 'Muted');
  assert.deepEqual([await signs(anna), await signs(ben)], [{ own: [true, false], theirs: nothing }, { own: nothing, theirs: [true, false] }]);

  await anna.locator('#camera').click();
  await ben.locator('#remote-dark').waitFor();
  assert.deepEqual([await signs(anna), await signs(ben)], [{ own: [true, true], theirs: nothing }, { own: nothing, theirs: [true, true] }]);

  await anna.locator('#hang-up').click();
  await prompts(ben, 'The other person hung up');
  assert.deepEqual(await signs(ben), { own: nothing, theirs: nothing });
});

visitAtNight('an incoming call rings once the page was touched, until it is answered', async (visit) => {
  const server = await visit.server();
  const anna = await visit.page(desktop);
  await anna.addInitScript(() => {
    window.rings = { started: 0, stopped: 0 };
    const { start, stop } = AudioBufferSourceNode.prototype;
    AudioBufferSourceNode.prototype.start = function () {
      window.rings.started += 1;
      start.call(this);
    };
    AudioBufferSourceNode.prototype.stop = function () {
      window.rings.stopped += 1;
      stop.call(this);
    };
  });
  await anna.goto(urlOf(server, CALL));
  await says(anna, 'ready', 'Waiting for a call');
  const rings = () => anna.evaluate(() => window.rings);
  const link = await localLink(anna);

  await anna.locator('#ring-note', { hasText: 'Click or tap this page once to allow the ringtone.' }).waitFor();
  const ben = await visit.open(phone, link);
  await prompts(anna, 'Somebody is calling');
  assert.deepEqual(await rings(), { started: 0, stopped: 0 });
  await press(ben, 'cancel');
  await prompts(anna, 'You missed a call');

  await anna.locator('#prompt-title').click();
  await anna.locator('#ring-note', { hasText: 'This page rings when somebody calls.' }).waitFor();
  for (const [times, answer] of /** @type {any[][]} */ ([[1, 'decline'], [2, 'accept']])) {
    await press(ben, 'call');
    await prompts(anna, 'Somebody is calling');
    assert.deepEqual(await rings(), { started: times, stopped: times - 1 });
    await press(anna, answer);
    assert.deepEqual(await rings(), { started: times, stopped: times });
    if (answer === 'decline') await prompts(ben, 'The call was declined');
  }
});

visitAtNight('at a loopback address the page shows its link, and copies it', async (visit) => {
  const server = await visit.server();
  const anna = await visit.page({ ...desktop, permissions: ['clipboard-read', 'clipboard-write'] });
  await anna.goto(urlOf(server, CALL));
  await says(anna, 'ready', 'Waiting for a call');

  const link = await localLink(anna);
  assert.equal(await anna.locator('#local-link').innerText(), link);
  await anna.locator('#copy-local-link').click();
  await anna.locator('#copy-local-link', { hasText: 'Copied' }).waitFor();
  assert.equal(await anna.evaluate(() => navigator.clipboard.readText()), link);
});

visitAtNight('a call by keyboard alone', async (visit) => {
  const anna = await wait(visit, urlOf(await visit.server(), CALL));
  const ben = await visit.open(desktop, await localLink(anna));
  const focused = (page, name) => page.locator(':focus', { hasText: name }).waitFor();

  await prompts(anna, 'Somebody is calling');
  await tabTo(anna, 'Accept');
  await anna.keyboard.press('Enter');
  await talking(anna);
  await focused(anna, 'Mute');
  await anna.keyboard.press('Space');
  await focused(anna, 'Unmute');
  await ben.locator('#remote-note', { hasText: 'Their microphone is off' }).waitFor();
  await tabTo(anna, 'Hang up');
  await anna.keyboard.press('Enter');
  await prompts(ben, 'The other person hung up');
});

visit('a client as tutorials write them calls the page, and gets no frame that it does not know', async (visit) => {
  const server = await visit.server();
  const { ask } = await tutorial(visit, server);
  const anna = await wait(visit, urlOf(server, CALL));
  const { hash } = new URL(await localLink(anna));

  // The second call shows that nothing else came after the first one.
  for (const call of [1, 2]) {
    await ask('call', hash.slice(1));
    await press(anna, 'accept');
    await talking(anna);
    await ask('must', 'moving picture');
    for (const button of ['#mute', '#camera']) await anna.locator(button).click();
    await anna.locator('#hang-up').click();
    await prompts(anna, 'The call is over');
    assert.equal(await ask('count', 'moving picture'), call);
  }
  assert.match(await ask('story'), /^id [\w-]{21}, moving picture, moving picture$/);
});

visitAtNight('the page calls a client as tutorials write them', async (visit) => {
  const server = await visit.server();
  const { id, ask } = await tutorial(visit, server);
  const anna = await visit.open(desktop, urlOf(server, `${CALL}#${id}`));

  await ask('must', 'call');
  await talking(anna);
  await ask('must', 'moving picture');
  for (const button of ['#mute', '#camera']) await anna.locator(button).click();
  await anna.locator('#hang-up').click();
  await ask('must', 'hangUp');
});

visit('without a camera it goes on with sound only, or with nothing to send', async (visit) => {
  const anna = await wait(visit, urlOf(await visit.server(), CALL));
  const link = await localLink(anna);
  const ben = await visit.page(phone);
  await ben.addInitScript(refuse, ['video']);
  await ben.goto(link);

  await prompts(ben, 'Camera and microphone are not allowed', /set both to “Allow”/);
  await fits(ben, phone);
  await press(ben, 'again');
  await prompts(ben, 'Camera and microphone are not allowed');
  await press(ben, 'sound');
  await press(anna, 'accept');
  await talking(ben);
  await hearing(anna, ['audio']);
  await anna.locator('#remote-note', { hasText: /^Their camera is off$/ }).waitFor();
  assert.equal(await ben.locator('#camera').isVisible(), false);
  await ben.close();
  await prompts(anna, 'The other person hung up');

  const cleo = await visit.page(phone);
  await cleo.addInitScript(refuse, ['video', 'audio']);
  await cleo.goto(link);
  await press(cleo, 'receive');
  await press(anna, 'accept');
  await talking(cleo);
  await anna.locator('#remote-note', { hasText: /^Their camera and microphone are off$/ }).waitFor();
});

visitAtNight('who accepts without a camera is heard', async (visit) => {
  const server = await visit.server();
  const anna = await visit.page(desktop);
  await anna.addInitScript(refuse, ['video']);
  await anna.goto(urlOf(server, CALL));
  await says(anna, 'ready', 'Waiting for a call');

  const ben = await visit.open(phone, await localLink(anna));
  await press(anna, 'accept');
  await press(anna, 'sound');
  await talking(anna);
  await ben.locator('#remote-note', { hasText: /^Their camera is off$/ }).waitFor();
  await hearing(ben, ['audio']);
});

visit('over http in a LAN the page says that HTTPS is needed, and one can still watch', async (visit) => {
  const server = await visit.server();
  const anna = await wait(visit, urlOf(server, CALL));
  const { hash } = new URL(await localLink(anna));
  const ben = await visit.open(phone, urlOf(server, CALL + hash, 'lan.test'));

  await prompts(ben, 'Camera and microphone need HTTPS', /This server has no TLS here: set up HTTPS\./);
  assert.match(await ben.locator('#prompt-text a').evaluate((link) => link.href), /\/broker\/docs\/TLS#phones-in-the-local-network$/);
  assert.deepEqual(await ben.locator('#prompt-buttons button').allInnerTexts(), ['Only watch and listen', 'Cancel']);
  await fits(ben, phone);
  await press(ben, 'receive');
  await press(anna, 'accept');
  await talking(ben);

  const cleo = await visit.open(phone, urlOf(server, CALL, 'lan.test'));
  await cleo.locator('#https-note', { hasText: 'This server has no TLS here: set up HTTPS.' }).waitFor();
});

visitAtNight('over http, where a proxy has https too, the page leads there', async (visit) => {
  const server = await visit.server();
  const ben = await visit.page(phone);
  // A proxy at the ports 80 and 443, which only root may open.
  await ben.route('http://lan.test/**', async (route) => {
    const { pathname } = new URL(route.request().url());
    await route.fulfill({ response: await route.fetch({ url: urlOf(server, pathname) }) });
  });
  await ben.route('https://lan.test/**', (route) => route.fulfill({ body: 'the same' }));
  visit.tolerate(UNREACHABLE);
  await ben.goto(`http://lan.test${CALL}#${NOBODY}`);

  await ben.locator('#prompt-text', { hasText: 'Open https://lan.test/broker/call/ instead.' }).waitFor();
  assert.equal(await ben.locator('#prompt-text a').getAttribute('href'), `https://lan.test${CALL}#${NOBODY}`);
});

visit('when the broker dies a call goes on, and a hang-up is heard', async (visit) => {
  const first = await visit.server();
  const proxy = await visit.proxy(first);
  const anna = await wait(visit, urlOf(proxy, CALL));
  const link = await localLink(anna);
  const ben = await talk(visit, anna, link);

  visit.tolerate(UNREACHABLE);
  await first.stop();
  await says(anna, 'connected', 'In a call; the broker is not reachable');
  await talking(anna);
  await talking(ben);
  await recordPrompts(anna);
  await ben.locator('#hang-up').tap();
  // Next it says that the broker is not reachable, perhaps at once.
  await hasPrompted(anna, 'The other person hung up');
  await says(anna, 'retrying', 'The broker is not reachable, trying again…');
  assert.equal(await anna.locator('#join').isVisible(), false);

  proxy.leadTo(await visit.server());
  await says(anna, 'ready', 'Waiting for a call');
  await anna.locator('#link-changed').waitFor();
  assert.notEqual(await localLink(anna), link);
  await talk(visit, anna, await localLink(anna));
});

visitAtNight('when the broker dies before the answer both sides say so', async (visit) => {
  const server = await visit.server();
  const anna = await wait(visit, urlOf(server, CALL));
  const ben = await visit.open(phone, await localLink(anna));
  await prompts(ben, 'Ringing…');

  visit.tolerate(UNREACHABLE);
  await server.stop();
  await prompts(anna, 'The broker was lost');
  await prompts(ben, 'The broker was lost', /Check that peerbroker is running/);
  await camerasOff(anna, ben);
});

visitAtNight('a broker that gives no id is named', async (visit) => {
  const anna = await visit.open(phone, urlOf(await visit.server(['--concurrent_limit', '0']), CALL));

  await prompts(anna, 'The broker is not reachable', /The broker refused: “Server has reached/);
  await fits(anna, phone);
});

visit('a call waits for a broker that is not there yet', async (visit) => {
  const server = await visit.server();
  const anna = await wait(visit, urlOf(server, CALL));
  const ben = await visit.page(phone);
  let refusals = 0;
  await ben.routeWebSocket(/.*/, (socket) => {
    if (refusals === 2) socket.connectToServer();
    else socket.close();
    refusals = Math.min(refusals + 1, 2);
  });
  await ben.goto(await localLink(anna));

  await press(anna, 'accept');
  await talking(ben);
});

visit('candidates that come before the description are kept', async (visit) => {
  const page = await wait(visit, urlOf(await visit.server(), CALL));

  const state = await within('a call and its end', page.evaluate(async () => {
    const { Talk } = await import('./demos/call/talk.js');
    // Each side's candidates first, its description last.
    const deliver = (frames, to, how) => {
      const [action, data] = frames.find(([action]) => action !== 'iceCandidate');
      const { [action]: description, safety } = data;
      const candidates = frames.filter(([action]) => action === 'iceCandidate');
      return Promise.all(candidates.map(([, { candidate }]) => to.addCandidate(candidate))).then(() => how(description, safety));
    };
    const gathered = (frames, talk) => new Promise((resolve) => {
      const send = (...frame) => {
        frames.push(frame);
        if (frames.some(([action]) => action === 'iceCandidate') && frames.length > 1) resolve();
      };
      talk(send);
    });
    const nothing = new MediaStream();
    const [toCallee, toCaller] = [[], []];
    let caller;
    let callee;
    await gathered(toCallee, (send) => {
      caller = new Talk(send);
      caller.offer(nothing);
    });
    const connected = new Promise((resolve) => caller.addEventListener('connected', resolve));
    await gathered(toCaller, (send) => {
      callee = new Talk(send);
      deliver(toCallee, callee, (description, safety) => callee.answer(description, safety, nothing));
    });
    await deliver(toCaller, caller, (description, safety) => caller.answered(description, safety));
    await connected;
    const hungUp = new Promise((resolve) => callee.addEventListener('ended', ({ detail }) => resolve(detail)));
    caller.close();
    return hungUp;
  }));

  assert.equal(state, 'hung up');
});

visitAtNight('candidates that come before the offer are kept', async (visit) => {
  const anna = await wait(visit, urlOf(await visit.server(), CALL));
  const ben = await visit.page(phone);
  await ben.addInitScript(() => {
    const { send } = WebSocket.prototype;
    let offer;
    WebSocket.prototype.send = function (/** @type {string} */ text) {
      const { action } = JSON.parse(text);
      if (action === 'offer') offer = text;
      else send.call(this, text);
      if (action !== 'iceCandidate' || !offer) return;
      send.call(this, offer);
      offer = undefined;
    };
  });
  await ben.goto(await localLink(anna));

  await press(anna, 'accept');
  await talking(anna);
  await talking(ben);
});

for (const device of layouts) {
  visit(`nothing sticks out of a call, and every button can be hit (${device.name})`, async (visit) => {
    const server = await visit.server();
    const shown = await visit.open(device, urlOf(server, CALL, 'lan.test'));
    await shown.locator('#qr svg').waitFor();
    await shown.locator('#join summary:visible')[device.press]();
    await fits(shown, device);

    const anna = await visit.open(device, urlOf(server, CALL));
    await says(anna, 'ready', 'Waiting for a call');
    await fits(anna, device);
    const ben = await visit.open(device, await localLink(anna));
    await prompts(ben, 'Ringing…');
    await prompts(anna, 'Somebody is calling');
    for (const page of [anna, ben]) await fits(page, device);
    await press(anna, 'accept');
    for (const page of [anna, ben]) {
      await talking(page);
      await fits(page, device);
    }
    await ben.locator('#hang-up')[device.press]();
    await prompts(anna, 'The other person hung up');
    for (const page of [anna, ben]) await fits(page, device);
  });
}

/** Opens a page that can be called. */
async function wait(visit, url) {
  const page = await visit.open(desktop, url);
  await says(page, 'ready', 'Waiting for a call');
  return page;
}

/** Calls the page that shows the link, which accepts. */
async function talk(visit, anna, link) {
  const ben = await visit.open(phone, link);
  await press(anna, 'accept');
  await talking(anna);
  await talking(ben);
  return ben;
}

/** A page with only RTCPeerConnection and a WebSocket: its id, and what its script is asked. */
async function tutorial(visit, server) {
  const page = await visit.open(desktop, (await visit.site()).url('calls'));
  const ask = (method, argument) =>
    within(`${method} ${argument}`, page.evaluate(([name, value]) => window.harness[name](value), [method, argument]));
  return { id: await ask('enter', `ws://127.0.0.1:${server.port}/`), ask };
}

/** Presses Tab until a button with this label has the focus. */
async function tabTo(page, label) {
  for (let pressed = 0; pressed < 20; pressed += 1) {
    await page.keyboard.press('Tab');
    if ((await page.evaluate(() => document.activeElement.textContent)) === label) return;
  }
  assert.fail(`Tab does not lead to ${label}`);
}

const press = (page, name) => page.locator(`#prompt [data-name="${name}"]`).click();

async function prompts(page, title, text) {
  await page.locator('#prompt-title', { hasText: title }).waitFor();
  if (text) assert.match(await page.locator('#prompt-text').innerText(), text);
}
