// The party game: a room on a shared screen, and phones that steer.

import assert from 'node:assert/strict';
import { circles, hasten, reaches, recordPhases } from '../lib/arena.mjs';
import { localLink, says, scan } from '../lib/demos.mjs';
import { fits } from '../lib/layout.mjs';
import { isThorough } from '../lib/thorough.mjs';
import { UNREACHABLE, desktop, layouts, phone, urlOf, visit, visitAtNight } from '../lib/visit.mjs';
import { until, within } from '../lib/within.mjs';

const PARTY = '/broker/party/';
const SHORT = `${PARTY}?seconds=5`;
const LONG = `${PARTY}?seconds=600`;

const places = [
  { where: 'at /', flags: [], path: '/' },
  { where: 'at /myapp', flags: ['--path', '/myapp'], path: '/myapp/' },
  { where: 'over TLS', flags: [], path: '/', tls: true },
];

for (const { where, flags, path, tls } of isThorough ? places : places.slice(0, 1)) {
  visit(`${where} a phone scans the code and joins`, async (visit) => {
    const server = await visit.server(flags, { tls });
    const host = await open(visit, urlOf(server, `${path}broker/party/`, 'lan.test'));

    const link = await scan(host);
    assert.equal(link, await host.locator('#join-link').getAttribute('href'));
    assert.match(link, /\/party\/\?room=[A-Z]{4}$/);
    const anna = await join(visit, link, 'Anna');

    await says(host, 'connected', '1 player');
    await says(anna, 'connected', 'You are red');
  });
}

visit('a phone without WebRTC plays over the broker, and says so', async (visit) => {
  const host = await open(visit, urlOf(await visit.server(), LONG));
  const player = await visit.open(phone, await localLink(host), { webRtc: false });
  await enter(player, 'Anna');
  await says(player, 'connected', 'You are red, over the broker, encrypted');
  await says(host, 'connected', '1 player');
});

visit('three phones play a round, there is a winner, and they play again', async (visit) => {
  const host = await open(visit, urlOf(await visit.server(), SHORT));
  assert.equal(await host.locator('#start').getAttribute('aria-disabled'), 'true');
  const phones = await joinAll(visit, host, ['Anna', 'Ben', 'Cleo']);
  await says(host, 'connected', '3 players');
  for (const player of phones) await player.locator('#my-state', { hasText: 'You are in' }).waitFor();

  for (const round of [1, 2]) {
    await host.locator('#start').click();
    await reaches(host, 'over', round);

    const scores = await scoresOf(host);
    assert.deepEqual(scores.map(({ name }) => name).sort(), ['Anna', 'Ben', 'Cleo']);
    const best = Math.max(...scores.map(({ points }) => points));
    const winners = scores.filter(({ points }) => points === best && best > 0).map(({ name }) => name);
    const headline = await host.locator('#headline').innerText();
    for (const [i, name] of ['Anna', 'Ben', 'Cleo'].entries()) {
      const own = scores.find((score) => score.name === name).points;
      await phones[i].locator('#my-points', { hasText: new RegExp(`^${own} points?$`) }).waitFor();
      const verdict = best === 0 ? 'Nobody found a dot.' : !winners.includes(name) ? 'won with' : winners.length > 1 ? 'A tie: you share the win with' : 'You win!';
      await phones[i].locator('#my-state', { hasText: verdict }).waitFor();
      assert.equal(headline.includes(name), winners.includes(name), headline);
    }
    assert.equal(await host.locator('#start').innerText(), 'Play again');
  }
  const phases = await host.evaluate(() => window.phases.map(({ name }) => name));
  assert.deepEqual(phases, ['countdown', 'round', 'over', 'countdown', 'round', 'over']);
});

visitAtNight('a tie names all who share the win, and each of them is told with whom', async (visit) => {
  const host = await open(visit, urlOf(await visit.server(), SHORT));
  const [anna, ben] = await joinAll(visit, host, ['Anna', 'Ben', 'Cleo']);
  // Everybody but Cleo, who came third, finds one golden dot.
  await host.evaluate(async () => {
    const { Arena } = await import('./demos/party/arena.js');
    Arena.prototype.step = function (time, players, onPoints) {
      for (const player of players.slice(0, 2)) {
        if (this.dots.length === 0 || player.points > 0) continue;
        player.points = 3;
        onPoints?.(player);
      }
    };
  });

  assert.equal(await host.locator('#start').innerText(), 'Start');
  await host.locator('#start').click();
  await host.locator('#start', { hasText: 'Playing…' }).waitFor();
  await reaches(host, 'over');

  await host.locator('#headline', { hasText: /^A tie: Anna and Ben have 3 points each$/ }).waitFor();
  await anna.locator('#my-state', { hasText: /^A tie: you share the win with Ben\.$/ }).waitFor();
  await ben.locator('#my-state', { hasText: /^A tie: you share the win with Anna\.$/ }).waitFor();
  assert.equal(await host.locator('#start').innerText(), 'Play again');
});

visitAtNight('a finger or a key that is held goes round in a circle', async (visit) => {
  // The test itself reads the canvas.
  visit.tolerate(/willReadFrequently/);
  const host = await open(visit, urlOf(await visit.server(), PARTY));
  const link = await localLink(host);
  const [anna, ben] = [await join(visit, link, 'Anna', desktop), await join(visit, link, 'Ben', desktop)];
  await says(host, 'connected', '2 players');

  await anna.keyboard.down('ArrowLeft');
  await anna.locator('#left.held').waitFor();
  await ben.locator('#right').hover();
  await ben.mouse.down();
  await ben.locator('#right.held').waitFor();
  // They stand in places without a wall nearby until the countdown ends, and steer by then.
  await host.locator('#start').click();
  await Promise.all([circles(host, 1), circles(host, 2)]);

  await anna.keyboard.up('ArrowLeft');
  await anna.locator('#left:not(.held)').waitFor();
  await ben.mouse.up();
  await ben.locator('#right:not(.held)').waitFor();
});

visitAtNight('dots are eaten, walls and others are bounced off, and who is away stands still', async (visit) => {
  const page = await open(visit, urlOf(await visit.server(), PARTY));

  const seen = await page.evaluate(async () => {
    const { Arena } = await import('./demos/party/arena.js');
    const arena = new Arena();
    arena.reset({ portrait: false, withDots: true });
    const players = [1, 2, 3].map((colour) => ({ colour, points: 0, turn: 0, away: colour === 3 }));
    arena.step(0, players);
    const { x, y } = arena.runners[2];
    let told = 0;
    for (let i = 0; i < 6_000; i += 1) arena.step(1 / 60, players, () => (told += 1));
    const inside = arena.runners.every((one) => one.x >= 0 && one.x <= arena.size.width && one.y >= 0 && one.y <= arena.size.height);
    const stood = arena.runners[2].x === x && arena.runners[2].y === y;
    return { inside, stood, told, points: players.map(({ points }) => points), dots: arena.dots.length };
  });

  assert.equal(seen.inside, true);
  assert.equal(seen.stood, true);
  assert.equal(seen.points[2], 0);
  assert.ok(seen.told > 0 && seen.points[0] + seen.points[1] >= seen.told);
  assert.equal(seen.dots, 10);
});

visitAtNight('a name that is taken gets an ending, and the phone says which', async (visit) => {
  const host = await open(visit, urlOf(await visit.server(), PARTY));
  const [, other] = await joinAll(visit, host, ['Anna', 'Anna']);

  await other.locator('#renamed', { hasText: /^The name Anna is taken, so you are Anna[a-z0-9]+\.$/ }).waitFor();
  const inForce = await other.locator('#my-name').innerText();
  assert.deepEqual((await scoresOf(host)).map(({ name }) => name), ['Anna', inForce]);
});

visitAtNight('a long name is cut, and an empty one is asked for', async (visit) => {
  const host = await open(visit, urlOf(await visit.server(), PARTY));
  const anna = await visit.open(phone, await localLink(host));

  await anna.locator('#take-seat').tap();
  await anna.locator('#seat-error', { hasText: 'Enter a name.' }).waitFor();
  await anna.locator('#name').fill('Anna of the twenty-one and more');
  await anna.locator('#take-seat').tap();

  await anna.locator('#my-name', { hasText: /^Anna of the twenty-o$/ }).waitFor();
});

visitAtNight('a code in small letters will do, and a wrong one does not', async (visit) => {
  const host = await open(visit, urlOf(await visit.server(), PARTY));
  const code = await host.locator('#room-code').innerText();
  const wrong = code === 'AAAA' ? 'BBBB' : 'AAAA';
  const anna = await visit.open(phone, urlOf(new URL(host.url()), `${PARTY}?room=${wrong}`));

  await enter(anna, 'Anna');
  await refused(anna, /There is no room with this code/);
  await fits(anna, phone);
  await anna.locator('#room').fill(code.toLowerCase());
  await anna.locator('#take-seat').tap();

  await says(anna, 'connected', 'You are red');
  await says(host, 'connected', '1 player');
});

visit('a player who is back after the start keeps colour and points; nobody new gets in', async (visit) => {
  const host = await open(visit, urlOf(await visit.server(), SHORT));
  const link = await localLink(host);
  const [anna, ben] = await joinAll(visit, host, ['Anna', 'Ben']);
  await host.locator('#start').click();
  await reaches(host, 'over');
  const points = await ben.locator('#my-points').innerText();

  await ben.reload();
  await says(ben, 'connected', 'You are blue');
  assert.equal(await ben.locator('#my-name').innerText(), 'Ben');
  await ben.locator('#my-points', { hasText: new RegExp(`^${points}$`) }).waitFor();

  // Another device is identified only by the name.
  const elsewhere = await join(visit, link, 'Ben');
  await says(elsewhere, 'connected', 'You are blue');
  await elsewhere.locator('#my-points', { hasText: new RegExp(`^${points}$`) }).waitFor();
  await refused(ben, /Another device has joined with your name/);
  await says(host, 'connected', '2 players');

  const late = await visit.open(phone, link);
  await enter(late, 'Cleo');
  await refused(late, /the room is locked/);
  await says(anna, 'connected', 'You are red');
});

visitAtNight('in the middle of a round a phone that was reloaded plays on', async (visit) => {
  const host = await open(visit, urlOf(await visit.server(), LONG));
  const [anna, ben] = await joinAll(visit, host, ['Anna', 'Ben']);
  await host.locator('#start').click();
  await reaches(host, 'round');

  await ben.close();
  await says(host, 'connected', '2 players, 1 away');
  await anna.reload();
  await says(anna, 'connected', 'You are red');
  await anna.locator('#my-state', { hasText: /Collect the dots!|You are \dst|You are \dnd/ }).waitFor();
  await says(host, 'connected', '2 players, 1 away');
});

visitAtNight('who leaves before the start is forgotten, and the name is free', async (visit) => {
  const host = await open(visit, urlOf(await visit.server(), PARTY));
  const [anna, ben] = await joinAll(visit, host, ['Anna', 'Ben']);

  // Not close(): that may end the page's process before it sends its `bye`.
  await anna.goto('about:blank');
  await says(host, 'connected', '1 player');
  await ben.reload();
  await says(ben, 'connected', 'You are red');
  assert.equal(await ben.locator('#my-name').innerText(), 'Ben');
  const another = await join(visit, await localLink(host), 'Anna');
  assert.equal(await another.locator('#my-name').innerText(), 'Anna');
});

visit('a phone that falls silent is away until it is heard again', async (visit) => {
  const host = await open(visit, urlOf(await visit.server(), PARTY));
  const anna = await visit.page(phone);
  await anna.clock.install();
  await anna.goto(await localLink(host));
  await enter(anna, 'Anna');
  await says(host, 'connected', '1 player');

  await anna.clock.pauseAt(Date.now() + 1_000_000);
  await says(host, 'connected', '1 player, 1 away');
  await anna.clock.resume();
  await says(host, 'connected', '1 player');
  await says(anna, 'connected', 'You are red');
});

visitAtNight('the ninth player is told that the room is full', async (visit) => {
  const host = await open(visit, urlOf(await visit.server(), PARTY));
  const link = await localLink(host);
  const crowd = await visit.open(desktop, link);
  await within('eight seats', crowd.evaluate(async (room) => {
    const { askForSeat } = await import('./demos/party/attempt.js');
    window.seats = [];
    // Silent players are away, and before the start a new player takes the place of one who is away.
    setInterval(() => window.seats.forEach(({ link }) => link.send({ type: 'ping' })), 1_000);
    for (const name of 'ABCDEFGH') window.seats.push(await askForSeat({ room, name, key: name }));
  }, await host.locator('#room-code').innerText()));
  assert.equal(await host.locator('#scores li').count(), 8);

  const late = await visit.open(phone, link);
  await enter(late, 'Iris');
  await refused(late, /This room is full/);
  assert.equal(await host.locator('#scores li').count(), 8);
});

visit('when the computer leaves, the phones say so and can join another room', async (visit) => {
  const server = await visit.server();
  const host = await open(visit, urlOf(server, PARTY));
  const [anna] = await joinAll(visit, host, ['Anna']);

  await host.close();
  await refused(anna, /The computer has closed this room/);
  await fits(anna, phone);

  const next = await open(visit, urlOf(server, PARTY));
  await anna.locator('#room').fill(await next.locator('#room-code').innerText());
  await anna.locator('#take-seat').tap();
  await says(anna, 'connected', 'You are red');
});

visit('without the broker the round goes on, and a new room is opened only when asked for', async (visit) => {
  const first = await visit.server();
  const proxy = await visit.proxy(first);
  const host = await open(visit, urlOf(proxy, SHORT));
  const [anna, ben] = await joinAll(visit, host, ['Anna', 'Ben']);
  const code = await host.locator('#room-code').innerText();
  await host.locator('#start').click();

  visit.tolerate(UNREACHABLE);
  await first.stop();
  await host.locator('#problem', { hasText: 'nobody new can join until a new room is open' }).waitFor();
  await says(host, 'failed', '2 players, no room');
  await reaches(host, 'over');
  await anna.locator('#my-state', { hasText: /Nobody|win|won/ }).waitFor();

  await host.locator('#retry').click();
  await host.locator('#problem', { hasText: 'could not be opened' }).waitFor();
  proxy.leadTo(await visit.server());
  await host.locator('#start').click();
  await reaches(host, 'round', 2);
  assert.equal(await host.locator('#room-code').textContent(), code);

  await host.locator('#retry').click();
  await host.locator('#problem').waitFor({ state: 'hidden' });
  const another = await join(visit, await localLink(host), 'Cleo');
  await says(host, 'connected', '3 players');
  await ben.reload();
  await says(ben, 'connected', 'You are blue');
  await says(another, 'connected', 'You are green');
});

visitAtNight('after the round a new room lets others join, and those who are here move there', async (visit) => {
  const host = await open(visit, urlOf(await visit.server(), SHORT));
  const [anna] = await joinAll(visit, host, ['Anna']);
  const code = await host.locator('#room-code').innerText();
  await host.locator('#start').click();
  await reaches(host, 'over');

  await host.locator('#new-room').click();
  await host.locator('#room-code', { hasText: new RegExp(`^(?!${code})[A-Z]{4}$`) }).waitFor();
  await join(visit, await localLink(host), 'Ben');
  await says(host, 'connected', '2 players');
  await anna.reload();
  await says(anna, 'connected', 'You are red');

  await host.locator('#start').click();
  await reaches(host, 'round', 2);
  assert.deepEqual((await scoresOf(host)).map(({ name }) => name).sort(), ['Anna', 'Ben']);
});

visitAtNight('a phone that loses the broker while it waits is still in', async (visit) => {
  const server = await visit.server();
  const proxy = await visit.proxy(server);
  const host = await open(visit, urlOf(server, PARTY));
  const code = await host.locator('#room-code').innerText();
  const anna = await join(visit, urlOf(proxy, `${PARTY}?room=${code}`), 'Anna');

  await proxy.stop();
  visit.tolerate(UNREACHABLE);
  await anna.waitForEvent('console', (message) => UNREACHABLE.test(message.text()));

  await says(anna, 'connected', 'You are red');
  await host.locator('#start').click();
  await anna.locator('#my-state', { hasText: /Get ready|Collect|You are \d/ }).waitFor();
});

const roomless = [
  { how: 'says nothing', flags: [], problem: 'The broker does not answer' },
  { how: 'is full', flags: ['--concurrent_limit', '0'], problem: 'The broker refused: “Server has reached' },
];

for (const { how, flags, problem } of roomless) {
  visitAtNight(`a broker that opens no room is named: it ${how}`, async (visit) => {
    const server = await visit.server(flags);
    const host = await visit.page(phone);
    await host.clock.install();
    let asked = 0;
    if (flags.length === 0) await host.routeWebSocket(/./, (socket) => socket.onMessage(() => (asked += 1)));
    await host.goto(urlOf(server, PARTY));
    if (flags.length === 0) {
      await until('the page to ask for a room', () => asked === 1);
      await host.clock.fastForward('00:11');
    }

    await host.locator('#problem', { hasText: problem }).waitFor();
    await says(host, 'failed', 'No room');
    await fits(host, phone);
  });
}

visitAtNight('without the simple-peer library the page says so', async (visit) => {
  const page = await visit.page(phone);
  await page.route('**/simplepeer.min.js', (route) => route.abort());
  visit.tolerate(UNREACHABLE);
  await page.goto(urlOf(await visit.server(), PARTY));

  await page.locator('#broken', { hasText: 'The simple-peer library did not load' }).waitFor();
  await fits(page, phone);
});

for (const device of layouts) {
  visit(`nothing sticks out of screen and controller, and every button can be hit (${device.name})`, async (visit) => {
    const server = await visit.server();
    for (const [at, address] of [['round', LONG], ['over', SHORT]]) {
      const host = await open(visit, urlOf(server, address, 'lan.test'), device);
      await host.locator('#qr svg').waitFor();
      await host.locator('#join summary')[device.press]();
      await fits(host, device);
      const player = await visit.open(device, await host.locator('#join-link').getAttribute('href'));
      await fits(player, device);
      await enter(player, 'WWWWWWWWWWWWWWWWWWWW', device);
      await says(player, 'connected', 'You are red');
      await host.locator('#start')[device.press]();
      await reaches(host, at);
      await fits(host, device);
      await fits(player, device);
    }
  });
}

/** Opens a room and waits until players can come. */
async function open(visit, url, device = desktop) {
  const host = await visit.page(device);
  // Rounds may run fast: tests check only the state before and after them.
  if (url.includes('?seconds=')) await hasten(host);
  await host.goto(url);
  await says(host, 'ready', 'Waiting for players');
  await recordPhases(host);
  return host;
}

async function enter(player, name, device = phone) {
  await player.locator('#name').fill(name);
  await player.locator('#take-seat')[device.press]();
}

async function join(visit, link, name, device = phone) {
  const player = await visit.open(device, link);
  await enter(player, name, device);
  await player.locator('#status[data-state="connected"]').waitFor();
  return player;
}

async function joinAll(visit, host, names) {
  const link = await localLink(host);
  const players = [];
  for (const name of names) players.push(await join(visit, link, name));
  return players;
}

const refused = (player, text) => player.locator('#seat-error', { hasText: text }).waitFor();

async function scoresOf(host) {
  const texts = await host.locator('#scores li').evaluateAll(
    (items) => items.map((item) => ['name', 'points'].map((part) => item.querySelector(`.${part}`).textContent)),
  );
  return texts.map(([name, points]) => ({ name, points: Number.parseInt(points, 10) }));
}
