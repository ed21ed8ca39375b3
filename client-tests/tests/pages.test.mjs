// The landing page, its files, and its own test of the broker.

import assert from 'node:assert/strict';
import { startCoturn } from '../lib/coturn.mjs';
import { fits } from '../lib/layout.mjs';
import { optionsIn, pasted } from '../lib/snippet.mjs';
import { UNREACHABLE, desktop, layouts, phone, screens, urlOf, visit, visitAtNight } from '../lib/visit.mjs';
import { within } from '../lib/within.mjs';

const ODD_KEY = '50% ü/&#';
const places = [
  { where: 'at /', flags: [], path: '/', key: 'peerjs' },
  { where: 'at /myapp with an odd key', flags: ['--path', '/myapp', '--key', ODD_KEY], path: '/myapp/', key: ODD_KEY },
];

for (const { where, flags, path } of places) {
  for (const device of screens) {
    visit(`${where} the snippet is what a PeerJS client needs (${device.name})`, async (visit) => {
      const server = await visit.server(flags);
      const page = await visit.open(device, urlOf(server, path));

      await page.getByRole('tab', { name: 'npm' })[device.press]();
      const options = optionsIn(await page.locator('#snippet').innerText());

      const { host, port } = server;
      const key = path === '/' ? 'peerjs' : encodeURIComponent(ODD_KEY);
      assert.deepEqual(options, { host, port, path, key, secure: false });
      const client = await visit.client(await visit.site());
      assert.ok(await client.open(server, undefined, options));
    });

    visit(`${where} the test of the broker passes, and again (${device.name})`, async (visit) => {
      const server = await visit.server(flags);
      const page = await visit.open(device, urlOf(server, `${path}broker/`));

      await passTheTest(page, device);
      await passTheTest(page, device);
    });
  }
}

visitAtNight('the snippet is right without JavaScript, and the page says what is missing', async (visit) => {
  const server = await visit.server(['--path', '/myapp', '--key', ODD_KEY]);
  const page = await visit.open(phone, urlOf(server, '/myapp/'), { javaScript: false });

  assert.deepEqual(optionsIn(await page.locator('#snippet').innerText()), {
    host: server.host,
    port: server.port,
    path: '/myapp/',
    key: encodeURIComponent(ODD_KEY),
    secure: false,
  });
  assert.equal(await page.locator('#test-broker').isVisible(), false);
  assert.match(await page.locator('body').innerText(), /The test needs JavaScript\./);
  const id = await fetch(await page.locator('#id-link').evaluate((link) => link.href));
  assert.match(await id.text(), /^[0-9a-f-]{36}$/);
});

for (const device of screens) {
  visit(`over TLS the page works and its snippet says so (${device.name})`, async (visit) => {
    const server = await visit.server([], { tls: true });
    const page = await visit.open(device, urlOf(server, '/'));

    const options = optionsIn(await page.locator('#snippet').innerText());
    assert.equal(options.secure, true);
    assert.equal(options.port, server.port);
    await passTheTest(page, device);
  });

  visit(`with the server gone the test stops at the id and says what to check (${device.name})`, async (visit) => {
    const server = await visit.server();
    const page = await visit.open(device, urlOf(server, '/'));
    await passTheTest(page, device);

    await server.stop();
    visit.tolerate(UNREACHABLE);
    await failTheTest(page, device, { at: 'id', after: [], says: /Check that peerbroker is still running/ });
  });
}

for (const device of screens) {
  visit(`without a built-in key the test asks for one (${device.name})`, async (visit) => {
    const keys = visit.keys();
    await keys.add(ODD_KEY);
    await keys.add('elsewhere', '--origin', 'https://elsewhere.test');
    const server = await visit.server(keys.flags);
    const page = await visit.open(device, urlOf(server, '/broker/'));
    const key = page.getByLabel('Key to test with');

    await runTheTest(page, device, 'failed');
    assert.equal(await page.locator('#test-summary').innerText(), 'The test needs a key.');
    assert.ok(await key.evaluate((field) => field === document.activeElement));
    await key.fill(` ${ODD_KEY} `);
    await passTheTest(page, device);
    await fits(page, device);
    await key.fill('elsewhere');
    await failTheTest(page, device, { at: 'id', after: [], says: /does not let pages of http:\/\/127.0.0.1:\d+ use this key/ });
    await key.fill('unknown');
    await failTheTest(page, device, { at: 'id', after: [], says: /This broker has no key “unknown”/ });
  });
}

for (const [when, flags, javaScript] of [['there is a built-in key', [], true], ['there is no script', ['--no_default_key'], false]]) {
  visitAtNight(`nobody is asked for a key where ${when}`, async (visit) => {
    const server = await visit.server(flags);
    const page = await visit.open(phone, urlOf(server, '/'), { javaScript });

    assert.equal(await page.getByLabel('Key to test with').isVisible(), false);
  });
}

visit('behind a proxy without WebSockets the test stops at the first of them', async (visit) => {
  const proxy = await visit.proxy(await visit.server(), { sockets: 0 });
  const page = await visit.open(phone, urlOf(proxy, '/'));

  visit.tolerate(UNREACHABLE);
  await failTheTest(page, phone, { at: 'peer-a', after: ['id'], says: /A proxy in front of it must forward WebSocket upgrades/ });
});

visitAtNight('behind a proxy that lets one WebSocket through the test stops at the second', async (visit) => {
  const proxy = await visit.proxy(await visit.server(), { sockets: 1 });
  const page = await visit.open(desktop, urlOf(proxy, '/'));

  visit.tolerate(UNREACHABLE);
  await failTheTest(page, desktop, { at: 'peer-b', after: ['id', 'peer-a'], says: /could not be opened/ });
});

visitAtNight('when the socket breaks at the offer the test stops at the introduction', async (visit) => {
  const proxy = await visit.proxy(await visit.server(), { talk: false });
  const page = await visit.open(desktop, urlOf(proxy, '/'));

  visit.tolerate(UNREACHABLE);
  await failTheTest(page, desktop, { at: 'introduce', after: ['id', 'peer-a', 'peer-b'], says: /or was closed/ });
});

visitAtNight('where something else answers the test says so', async (visit) => {
  const server = await visit.server();
  const page = await visit.page(desktop);
  await page.route('**/peerjs/id', (route) => route.fulfill({ body: '<h1>Welcome to nginx!</h1>' }));
  await page.goto(urlOf(server, '/'));

  await failTheTest(page, desktop, { at: 'id', after: [], says: /Something other than peerbroker/ });
});

visit('at a loopback address the main button is one that works there', async (visit) => {
  const page = await visit.open(desktop, urlOf(await visit.server(), '/'));

  assert.deepEqual(await mainButtons(page), ['Test this broker']);
  await page.locator('#start-test').click();
  await page.locator('#test-summary[data-state="ok"]').waitFor();
});

visitAtNight('where phones reach the broker, the main button is for them', async (visit) => {
  const page = await visit.open(desktop, urlOf(await visit.server(), '/', 'lan.test'));

  assert.deepEqual(await mainButtons(page), ['Try it with your phone']);
});

for (const [flags, button] of /** @type {any[][]} */ ([[[], 'Test this broker'], [['--registration', 'open'], 'Get a key']])) {
  visitAtNight(`without a built-in key the main button is “${button}” (${flags.join(' ') || 'closed registration'})`, async (visit) => {
    const server = await visit.server(['--no_default_key', ...flags]);
    const page = await visit.open(desktop, urlOf(server, '/', 'lan.test'));

    assert.deepEqual(await mainButtons(page), [button]);
    await page.getByRole('link', { name: button }).click();
    await page.locator(flags.length > 0 ? '#register-title' : '#test-key:focus').waitFor();
  });
}

visitAtNight('a phone joins a game, or says what to type into a computer', async (visit) => {
  const server = await visit.server(['--path', '/myapp']);
  const page = await visit.open(phone, urlOf(server, '/myapp/', 'lan.test'));

  assert.deepEqual(await mainButtons(page), ['Join a game']);
  await page.getByText('Open on a computer').tap();
  assert.equal(await page.locator('#address').innerText(), urlOf(server, '/myapp/', 'lan.test'));
  await fits(page, phone);
  await page.getByRole('link', { name: 'Join a game' }).tap();
  await page.getByLabel('Room').waitFor();
  assert.equal(await page.locator('#room').evaluate((field) => field === document.activeElement), true);
});

visit('the documentation opens on the server itself, with its links', async (visit) => {
  const page = await visit.open(desktop, urlOf(await visit.server(['--path', '/myapp']), '/myapp/'));

  await page.getByRole('link', { name: 'Documentation' }).click();
  await page.locator('.document').getByRole('link', { name: 'Security' }).click();
  await page.waitForURL(/\/myapp\/broker\/docs\/SECURITY$/);
  assert.equal(await page.title(), 'Security – peerbroker');
  await page.locator('.document a[href^="docs/KEYS#"]').first().click();
  await page.waitForURL(/\/myapp\/broker\/docs\/KEYS#/);
  await page.locator(':target').waitFor();
});

visit('the code of each tab works from there, and the keyboard leads from tab to tab', async (visit) => {
  const server = await visit.server(['--path', '/myapp']);
  const page = await visit.open(desktop, urlOf(server, '/myapp/'));
  const says = async (shown, what) => within(what, shown.waitForEvent('console', (message) => what.test(message.text())));
  const tab = (name) => page.getByRole('tab', { name });
  const code = async (name) => {
    await page.locator(`[role="tab"][aria-selected="true"]:text-is("${name}")`).waitFor();
    return page.getByRole('tabpanel').locator('pre code').innerText();
  };

  await tab('Script tag').focus();
  const blank = await visit.page(desktop);
  const html = await code('Script tag');
  const opened = says(blank, /^open this page with #[\w-]+$/);
  visit.tolerate(/invoked via document\.write/);
  await blank.setContent(html);
  await opened;
  await tab('Topics').click();
  const heard = says(page, /^news says hello to 1$/);
  await page.evaluate(`{ ${await code('Topics')} }`);
  await heard;
  await page.keyboard.press('ArrowLeft');
  const called = says(page, /^my id: /);
  // Not as a script of the page, whose policy forbids that.
  await page.evaluate(`{ ${await code('Calls')} }`);
  await called;
  await page.keyboard.press('ArrowLeft');
  const open = says(page, /^room [A-Z]{4}$/);
  await page.evaluate(`{ ${await code('Room codes')} }`);
  await open;
  await page.keyboard.press('ArrowLeft');
  const room = await visit.page(desktop);
  const joined = says(room, /^1 so far$/);
  await room.setContent(await code('Rooms'));
  await joined;
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  assert.match(await code('npm'), /^import \{ Peer \} from "peerjs";/);
  assert.ok(await tab('npm').evaluate((element) => element === document.activeElement));
});

visit('the code of the other protocols works with their libraries, and at a path with a key', async (visit) => {
  const keys = visit.keys();
  await keys.add('app');
  const dialects = ['--dialects', 'rxdb,tracker,matchbox'];
  const server = await visit.server([...keys.flags, ...dialects, '--path', '/myapp']);
  const page = await visit.open(phone, urlOf(server, '/myapp/'));
  const code = async (name) => {
    await page.getByRole('tab', { name }).tap();
    // The one that a person fills in.
    return (await page.getByRole('tabpanel').locator('pre code').innerText()).replace('YOUR-KEY', 'app');
  };
  const site = await visit.site();
  /** The first frames that a page with a library hears, once it has run the code, and the address that it asked. */
  const hears = async (library, code, what) => {
    const other = await visit.open(desktop, site.url(library));
    const socket = other.waitForEvent('websocket');
    const frame = socket.then((socket) => socket.waitForEvent('framereceived', ({ payload }) => what.test(payload)));
    await other.evaluate((code) => window.harness.run(code), code);
    await within(what, frame);
    return new URL((await socket).url());
  };

  const rxdb = await hears('replica', await code('RxDB'), /^{"type":"joined","otherPeerIds":\["[^"]+"\]}$/);
  assert.equal(rxdb.pathname + rxdb.search, '/myapp/rxdb?key=app');
  const tracker = await hears('torrents', await code('Torrents'), /^{"complete":1,"incomplete":0,"action":"announce"/);
  assert.equal(tracker.pathname + tracker.search, '/myapp/?key=app');
  const [, matchbox] = (await code('Matchbox')).match(/^WebRtcSocket::new_reliable\(\s*"(.+)"\s*\)$/);
  const told = await page.evaluate((url) => new Promise((resolve) => {
    new WebSocket(url).onmessage = ({ data }) => resolve(data);
  }), matchbox);
  assert.match(told, /^{"IdAssigned":"/);
  const { pathname, search } = new URL(matchbox);
  assert.equal(pathname + search, '/myapp/matchbox/duel?next=2&key=app');
  await fits(page, phone);
});

visit('the code of a server without PeerJS or a built-in key is that of the others, with a key', async (visit) => {
  const page = await visit.open(phone, urlOf(await visit.server(['--dialects', 'calls', '--no_default_key']), '/'));
  assert.deepEqual(await page.getByRole('tab').allInnerTexts(), ['Calls']);
  assert.match(await page.getByRole('tabpanel').locator('pre code').innerText(), /"ws:\/\/127\.0\.0\.1:\d+\/\?key=YOUR-KEY"/);
});

visit('the documentation is searched without a request for each key, and its sections have links', async (visit) => {
  const server = await visit.server(['--path', '/myapp']);
  const page = await visit.open(desktop, urlOf(server, '/myapp/broker/docs/KEYS'));
  const search = page.getByLabel('Search all documents');
  /** @type {string[]} */
  const requests = [];
  page.on('request', (request) => requests.push(new URL(request.url()).pathname));

  await search.pressSequentially('flags --relay_public');
  await page.locator('#results mark', { hasText: '--relay_public' }).first().waitFor();
  assert.deepEqual(requests.filter((path) => path.includes('/docs/')), ['/myapp/broker/docs/index.json']);
  await search.fill('no-such-word');
  await page.getByText('No section has all these words.').waitFor();
  await search.fill('signals and exit codes');
  await page.getByText(/^\d+ sections? found/).waitFor();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/myapp\/broker\/docs\/OPERATING#signals-and-exit-codes$/);
  const heading = page.locator('h2:target');
  await heading.hover();
  await heading.getByRole('link', { name: 'Link to this section' }).click();
  // A result within the shown document leads to its section as well.
  await page.getByLabel('Search all documents').fill('flags');
  await page.locator('#results a', { hasText: /^Flags$/ }).first().click();
  await page.locator('h2#flags:target').waitFor();
  assert.equal(await page.locator('#found').isVisible(), false);
  const flags = page.locator('#flags ~ .wide').nth(1);
  assert.ok(await flags.evaluate((table) => table.scrollWidth <= table.clientWidth), 'all columns of the flags are shown');
});

visit('examples of the documentation have the address of the page, and a button copies them', async (visit) => {
  const server = await visit.server(['--path', '/myapp'], { tls: true });
  const page = await visit.open(desktop, urlOf(server, '/myapp/broker/docs/USE', 'lan.test'));
  const here = `https://lan.test:${server.port}/myapp/`;
  const code = await page.locator('.document code').allTextContents();
  for (const part of ['src="/myapp/peerjs.js"', 'src="/myapp/rooms.js"', `"${here}peerjs.js"`, `'${here}peerjs.mjs'`]) assert.ok(code.some((text) => text.includes(part)), part);
  assert.deepEqual(code.filter((text) => /["']\w+:\/\/localhost:9000/.test(text)), []);

  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  const block = page.locator('.code').first();
  await block.getByRole('button', { name: 'Copy' }).click();
  await block.getByRole('button', { name: 'Copied' }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), '<script src="/myapp/peerjs.js"></script>');
  assert.equal(await page.locator('.document pre').count(), await page.locator('.document .code button').count());

  await page.goto(urlOf(server, '/myapp/broker/docs/TROUBLESHOOTING', 'lan.test'));
  await page.getByText(`new Peer({ host: 'lan.test', port: ${server.port}, path: '/myapp/', secure: true, debug: 2 })`).waitFor();
});

visit('on a phone a row of the settings is a card with its explanation, and blocks of code have a button', async (visit) => {
  const server = await visit.server();
  const page = await visit.open(phone, urlOf(server, '/broker/docs/CONFIG'));
  const row = page.locator('.rows tr', { has: page.locator('td:first-child', { hasText: '--max_message_bytes' }) });
  const cells = await row.evaluate((card) => {
    const shown = [...card.children].sort((one, other) => one.getBoundingClientRect().top - other.getBoundingClientRect().top);
    return {
      texts: shown.map(({ textContent }) => textContent),
      labels: shown.map((cell) => getComputedStyle(cell, '::before').content),
      width: Math.max(...shown.map((cell) => cell.getBoundingClientRect().right)),
    };
  });
  assert.equal(cells.texts[0], '--max_message_bytes');
  assert.ok(cells.texts.some((text) => text.startsWith('Largest message')));
  for (const label of ['"Default"', '"Unit, live, scope"']) assert.ok(cells.labels.includes(label), label);
  assert.ok(cells.width <= phone.viewport.width);
  await fits(page, phone);
});

visit('no header of a table in the documentation is empty', async (visit) => {
  const server = await visit.server();
  const page = await visit.page(desktop);
  for (const name of ['CONFIG', 'LIMITS', 'SECURITY', 'PROTOCOL']) {
    await page.goto(urlOf(server, `/broker/docs/${name}`));
    const heads = await page.locator('.document thead:visible').evaluateAll((all) => all.map((head) => [...head.querySelectorAll('th')].map(({ textContent }) => textContent.trim())));
    assert.ok(heads.length > 0, name);
    for (const names of heads) assert.ok(names.length > 0 && names.every(Boolean), `${name}: ${names}`);
  }
});

visitAtNight('on a phone the list of documents folds away', async (visit) => {
  const page = await visit.open(phone, urlOf(await visit.server(), '/broker/docs/CONFIG'));
  const documents = page.getByRole('navigation', { name: 'All documents' });

  assert.equal(await documents.isVisible(), false);
  await page.locator('.all-documents summary').tap();
  await documents.getByRole('link', { name: 'Security' }).tap();
  await page.waitForURL(/\/docs\/SECURITY$/);
});

visit('a demo whose parts do not load says so, and loads again', async (visit) => {
  const server = await visit.server();
  visit.tolerate(UNREACHABLE);
  const page = await visit.page(phone);
  await page.clock.install();
  for (const [demo, module] of [['slides', 'demos/slides/deck.js'], ['party', 'demos/party/room.js'], ['lobby', 'client/rooms/rooms.js'], ['call', 'shared/within.js'], ['call', 'demos/call/main.js']]) {
    let isLost = true;
    await page.route(`**/${module}`, (route) => {
      if (!isLost) return route.continue();
      isLost = false;
      // One of them neither loads nor fails.
      return module === 'shared/within.js' ? undefined : route.abort();
    });
    await page.goto(urlOf(server, `/broker/${demo}/`), { waitUntil: 'commit' });
    if (module === 'shared/within.js') {
      await page.locator('#broken').waitFor({ state: 'attached' });
      await page.clock.fastForward('00:21');
    }
    await page.getByText('A part of this page did not load.').waitFor();
    assert.equal(await page.locator('#status').isVisible(), false);
    await page.getByRole('button', { name: 'Reload' }).tap();
    await page.locator('#status[data-state="ready"]').waitFor();
    assert.equal(await page.locator('#broken').isVisible(), false);
    await page.unrouteAll();
  }
});

visit('the page leads to each demo', async (visit) => {
  const server = await visit.server(['--path', '/myapp']);
  const page = await visit.open(phone, urlOf(server, '/myapp/'));

  for (const [link, title] of [['Open the slides', 'Slide remote'], ['Open a room', 'Party game'], ['Get a link', 'Video call'], ['Open a board', 'Whiteboard']]) {
    await page.getByRole('link', { name: link }).tap();
    await page.waitForURL(/\/myapp\/broker\/(slides|party|call|board)\/(#.*)?$/);
    assert.equal(await page.title(), `${title} – peerbroker`);
    await page.locator('#status[data-state="ready"]').waitFor();
    await page.getByRole('link', { name: 'peerbroker' }).tap();
    await page.waitForURL(/\/myapp\/broker\/$/);
  }
});

visitAtNight('without the PeerJS library the test says so', async (visit) => {
  const server = await visit.server();
  const page = await visit.page(phone);
  await page.route('**/peerjs.min.js', (route) => route.abort());
  await page.goto(urlOf(server, '/'));

  visit.tolerate(UNREACHABLE);
  await failTheTest(page, phone, { at: 'id', after: [], says: /The PeerJS library did not load/ });
});

for (const [origin, host] of [['a secure', '127.0.0.1'], ['an insecure', 'lan.test']]) {
  visitAtNight(`the snippet can be copied at ${origin} origin`, async (visit) => {
    const server = await visit.server();
    const page = await visit.page({ ...desktop, permissions: ['clipboard-read', 'clipboard-write'] });
    await page.goto(urlOf(server, '/', host));

    await page.getByRole('tab', { name: 'npm' }).click();
    await page.locator('#copy-snippet').click();
    await page.locator('#copy-snippet', { hasText: 'Copied' }).waitFor();

    assert.equal(optionsIn(await pasted(page)).host, host);
  });
}

for (const device of layouts) {
  visit(`nothing sticks out and every button can be hit (${device.name})`, async (visit) => {
    const server = await visit.server();
    const page = await visit.open(device, urlOf(server, '/'));

    await fits(page, device);
    await passTheTest(page, device);
    await fits(page, device);
    await server.stop();
    visit.tolerate(UNREACHABLE);
    await failTheTest(page, device, { at: 'id', after: [], says: /No answer/ });
    await fits(page, device);
  });
}

visit('a script that is not the page\'s own does not run', async (visit) => {
  const server = await visit.server();
  const page = await visit.open(desktop, urlOf(server, '/'));

  const ran = await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.intruder = true';
    document.body.append(script);
    return 'intruder' in window;
  });

  assert.equal(ran, false);
  assert.match(visit.complaints.join(), /Content Security Policy/);
  visit.tolerate(/Content Security Policy/);
});

visit('no other site may frame the page or learn its address', async (visit) => {
  const server = await visit.server();

  const { headers } = await fetch(urlOf(server, '/broker/'));

  assert.match(headers.get('content-security-policy'), /frame-ancestors 'self'/);
  assert.doesNotMatch(headers.get('content-security-policy'), /unpkg/);
  assert.equal(headers.get('referrer-policy'), 'same-origin');
});

const RELAY = ['--relay', '127.0.0.1:0', '--relay_private'];

for (const device of screens) {
  visit(`the test says that the data went directly, and forces the relay (${device.name})`, async (visit) => {
    // As `--relay` alone, but for the port. Its STUN server is at an address of this machine.
    visit.tolerate(/asks stun:/);
    const page = await visit.open(device, urlOf(await visit.server(['--relay', '0.0.0.0:0']), '/'));
    const detail = page.locator('#test-steps [data-step="direct"] .detail');
    const summary = page.locator('#test-summary');

    await passTheTest(page, device);
    assert.match(await detail.innerText(), /^directly, [\d.]+ ms$/);
    assert.match(await summary.innerText(), /The data went directly\.$/);

    for (let time = 0; time < 2; time += 1) {
      await page.getByRole('button', { name: 'Test the relay' })[device.press]();
      await page.locator('#test-summary:has-text("through the relay")[data-state="ok"]').waitFor();
      assert.match(await detail.innerText(), /^through the relay, [\d.]+ ms$/);
    }
    await fits(page, device);
    await passTheTest(page, device);
    assert.match(await summary.innerText(), /The data went directly\.$/);
  });
}

visit('in a browser without WebRTC, the test says that the data went over the broker', async (visit) => {
  const page = await visit.open(desktop, urlOf(await visit.server(RELAY), '/'), { webRtc: false });
  await passTheTest(page, desktop);
  assert.match(await page.locator('#test-summary').innerText(), /The data went over the broker, encrypted\.$/);
  assert.equal(await page.locator('#test-picture .wire.direct:visible').count(), 1);
  assert.equal(await page.locator('#test-picture .relayed').isVisible(), true);
  await page.getByRole('button', { name: 'Test the relay' }).click();
  await page.locator('#test-summary[data-state="failed"]').waitFor();
  assert.match(await page.locator('#test-steps [data-step="direct"] .detail').innerText(), /^This browser has no WebRTC/);
});

visitAtNight('without pipes, no page says that data goes over the broker, and a browser without WebRTC is told so', async (visit) => {
  const page = await visit.open(desktop, urlOf(await visit.server(['--pipes', 'off']), '/'), { webRtc: false });
  assert.equal(await page.getByText('their data goes over').isVisible(), false);
  await page.locator('#test-broker').click();
  await page.locator('#test-summary[data-state="failed"]').waitFor();
  assert.match(await page.locator('#test-steps [data-step="id"] .detail').innerText(), /WebRTC is not available in this browser/);
});

visit('with a key whose calls are always relayed, the test says so', async (visit) => {
  const page = await visit.open(desktop, urlOf(await visit.server([...RELAY, '--relay_mode', 'always']), '/'));
  await passTheTest(page, desktop);
  assert.match(await page.locator('#test-summary').innerText(), /The data went through the relay\.$/);
});

visitAtNight('the relay can be tested only where there is one', async (visit) => {
  for (const flags of [[], [...RELAY, '--relay_mode', 'off']]) {
    const page = await visit.open(desktop, urlOf(await visit.server(flags), '/'));
    assert.equal(await page.locator('#test-broker').isVisible(), true);
    assert.equal(await page.locator('#test-relay').isVisible(), false);
    assert.equal(await page.locator('#relay-hint').isVisible(), false);
  }
});

visitAtNight('a relay that nobody reaches fails its test, which says what to check', async (visit) => {
  // Like a relay behind a NAT that forwards nothing to it.
  const page = await visit.open(desktop, urlOf(await visit.server([...RELAY, '--relay_public', '127.0.0.2']), '/'));
  await page.getByRole('button', { name: 'Test the relay' }).click();
  await page.locator('#test-summary[data-state="failed"]').waitFor();
  assert.match(await page.locator('#test-steps [data-step="direct"] .detail').innerText(), /--relay_private/);
  await passTheTest(page, desktop);
});

visitAtNight('the test takes the ICE servers of the broker, and says so if it needs one', async (visit) => {
  const coturn = await visit.keep('proxies', startCoturn());
  visit.tolerate(/asks turn:127\.0\.0\.1:/);
  const page = await visit.page(desktop);
  // Within one page, only a policy can keep the peers apart.
  await page.addInitScript(() => {
    const Original = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Original {
      constructor(config) {
        super({ ...config, iceTransportPolicy: 'relay' });
      }
    };
  });
  await page.goto(urlOf(await visit.server(coturn.flags), '/'));
  await passTheTest(page, desktop);
  assert.match(await page.locator('#test-summary').innerText(), /The data went through a TURN server\.$/);
});

async function passTheTest(page, device) {
  await runTheTest(page, device, 'ok');
  assert.deepEqual(await steps(page), {
    id: 'ok', 'peer-a': 'ok', 'peer-b': 'ok', introduce: 'ok', direct: 'ok',
  });
  assert.match(await page.locator('[data-step="direct"] .detail').innerText(), /^(directly|through the relay|through a TURN server|over the broker, encrypted), [\d.]+ ms$/);
}

async function failTheTest(page, device, { at, after: passed, says }) {
  await runTheTest(page, device, 'failed');
  const names = ['id', 'peer-a', 'peer-b', 'introduce', 'direct'];
  const expected = names.map((name) => [name, name === at ? 'failed' : passed.includes(name) ? 'ok' : 'waiting']);
  assert.deepEqual(await steps(page), Object.fromEntries(expected));
  assert.match(await page.locator(`#test-steps [data-step="${at}"] .detail`).innerText(), says);
}

/** The labels of the main buttons at the top of the page. */
const mainButtons = (page) => page.locator('.hero .primary:visible').allInnerTexts();

async function runTheTest(page, device, state) {
  await page.locator('#test-broker')[device.press]();
  await page.locator(`#test-summary[data-state="${state}"]`).waitFor();
}

async function steps(page) {
  const items = await page.locator('#test-steps li').evaluateAll(
    (all) => all.map(({ dataset }) => [dataset.step, dataset.state]),
  );
  return Object.fromEntries(items);
}
