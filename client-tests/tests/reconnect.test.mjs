// The `peerjs.js` of the broker brings its Peers back when their WebSocket is lost, whatever their pages do about it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { TOKEN, dashboardOf } from '../lib/dashboard.mjs';
import { startProxy } from '../lib/frozen-proxy.mjs';
import { returning as onStage } from '../lib/returning.mjs';

const LOST = ['network', 'disconnected'];
const returning = (behaviour, browser, run) => onStage(behaviour, browser, async (stage) => {
  await stage.start();
  await run(stage);
});
const told = (id, ...what) => what.map((event) => `${id} ${event}`);

for (const browser of ['chromium', 'firefox']) {
  returning(`a Peer is back after an outage, and its connections have lived on (${browser})`, browser, async (stage) => {
    const [alice, bob] = [await stage.page(), await stage.page()];
    await stage.opens(alice, { id: 'alice' });
    await stage.opens(bob, { id: 'bob' });
    const number = await alice.ask('connect', { from: 'alice', to: 'bob' });
    await alice.ask('call', { from: 'alice', to: 'bob' });

    await stage.kill();
    await Promise.all([alice.next('alice disconnected'), bob.next('bob disconnected')]);
    assert.equal(await alice.ask('echo', { number, value: 'without a broker' }), 'without a broker');
    await stage.start();
    await Promise.all([alice.next('alice open'), bob.next('bob open')]);

    assert.equal(await alice.ask('echo', { number, value: 'as before' }), 'as before');
    const other = await bob.ask('connect', { from: 'bob', to: 'alice' });
    assert.equal(await bob.ask('echo', { number: other, value: 'a new one' }), 'a new one');
    for (const [page, id] of [[alice, 'alice'], [bob, 'bob']]) {
      assert.deepEqual(await page.ask('heard'), told(id, 'open', ...LOST, 'open'));
      assert.deepEqual([await page.count('line close'), await page.count('call close')], [0, 0]);
    }
  });
}

for (const habit of ['none', 'in the event', 'by a timer', 'both', 'in the error', 'an error of its own', 'a new Peer', 'a new Peer at once']) {
  returning(`a page gets no second socket and no error, whatever it does itself: ${habit}`, 'chromium', async (stage) => {
    const page = await stage.page();
    const wrong = [];
    page.listen('pageerror', (error) => wrong.push(error.stack));
    await stage.opens(page, { id: 'alice', habit });

    await stage.kill();
    await page.next('alice disconnected');
    await stage.start();
    if (habit === 'a new Peer at once') await page.next('alice-2 open');
    else await page.next('alice open');
    await page.ask('endPauses');
    if (habit === 'a new Peer') await page.next('alice open');

    // Now each Peer that is lost would open, before another one.
    await page.ask('fire', 'online');
    await stage.opens(page, { id: 'later' });
    const heard = await page.ask('heard');
    assert.equal(wrong.length, habit === 'an error of its own' ? 1 : 0, wrong.join('\n'));
    assert.ok(!heard.some((event) => event.endsWith('unavailable-id')), heard);
    assert.deepEqual(await stage.clientsUntil('later'), { 'a new Peer': ['alice', 'alice'], 'a new Peer at once': ['alice-2'] }[habit] ?? ['alice']);
  });
}

returning('a page that reconnects in the event has a pause before each attempt', 'chromium', async (stage) => {
  const page = await stage.page();
  await stage.opens(page, { id: 'alice', habit: 'in the event' });
  // No pause ends.
  await page.ask('hold');
  await stage.kill();
  await page.next('alice disconnected');

  // Its attempt fails after one of alice would have.
  await page.ask('make', { id: 'other', options: { autoReconnect: false } });
  await page.next('other disconnected');

  assert.deepEqual(await page.ask('heard'), [...told('alice', 'open', ...LOST), ...told('other', ...LOST)]);
  await stage.start();
  await page.ask('release');
  await page.next('alice open');
});

returning('a Peer stays away if its page does not want it back', 'chromium', async (stage) => {
  const page = await stage.page();
  await stage.opens(page, { id: 'off', options: { autoReconnect: false } });
  for (const habit of ['destroy', 'disconnect']) await stage.opens(page, { id: habit, habit });
  await stage.opens(page, { id: 'disconnected' });
  await stage.opens(page, { id: 'other' });
  await page.ask('do', { id: 'disconnected', method: 'disconnect' });

  for (let restarts = 0; restarts < 2; restarts += 1) {
    await stage.kill();
    await page.next('other disconnected');
    await stage.start();
    await page.next('other open');
    await page.ask('fire', 'online');
    // Comes back after all others would have.
    await stage.opens(page, { id: `later-${restarts}`, options: { autoReconnect: false } });
    assert.deepEqual(await stage.clientsUntil(`later-${restarts}`), ['other']);
  }
  // It is the page's to reconnect, and then the Peer is one that comes back.
  await page.ask('do', { id: 'disconnected', method: 'reconnect' });
  await page.next('disconnected open');
  await stage.kill();
  await stage.start();
  await page.next('disconnected open');
});

/** Each loses alice for good; resolves with the events that her page has to get. */
const FINAL = {
  'its key is not known any more': async (stage) => {
    await stage.kill();
    await stage.start(['--key', 'other']);
    return [...told('alice', ...LOST, 'server-error'), 'Invalid key provided'];
  },
  'another page with its token has its id': async (stage) => {
    const copy = await stage.page();
    await stage.opens(copy, { id: 'alice', options: { token: 'shared' } });
    return [...told('alice', ...LOST), 'Lost connection to server. It said: replaced by a newer connection'];
  },
  'the operator removes it': async (stage) => {
    const { api } = await dashboardOf(stage.broker);
    assert.equal((await api('DELETE', '/api/keys/peerjs/peers/alice')).status, 204);
    return [...told('alice', ...LOST), 'Lost connection to server. It said: removed by the operator'];
  },
  'the operator bans its address': async (stage) => {
    const { api } = await dashboardOf(stage.broker);
    assert.equal((await api('POST', '/api/bans', { network: '127.0.0.1', key: 'peerjs' })).status, 201);
    return [...told('alice', ...LOST), 'Lost connection to server. It said: this address is banned'];
  },
  'its address is banned meanwhile': async (stage) => {
    await stage.kill();
    await stage.start(['--ban', '127.0.0.1']);
    return [...told('alice', ...LOST, 'server-error'), 'This address is banned'];
  },
};

test('the script tells final endings from others as the protocol does', () => {
  const read = (path) => readFileSync(resolve(import.meta.dirname, '../..', path), 'utf8');
  const rows = (title) => read('docs/PROTOCOL.md').split(`### ${title}\n`)[1].split('\n### ')[0].split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()).slice(1, -1))
    // Pipes have clients of their own; PeerJS has a message for an id that is taken.
    .filter(([name]) => name?.startsWith('`') && !/pipe|id_taken/.test(name));
  const known = (name) => read('client/src/peer/reconnect.js').match(new RegExp(`${name} = new Set\\(\\[([^\\]]*)`))[1];
  const codes = rows('The end of a connection').filter((row) => row.at(-1) === 'no').map((row) => row[1]);
  const texts = rows('Refused clients').filter((row) => row.at(-1) === 'yes' && row[1] !== '–').map((row) => row[1]);

  assert.deepEqual(known('FINAL_CODES').split(', '), codes.filter((code) => /^\d+$/.test(code)).sort());
  assert.deepEqual(known('PASSING').match(/'[^']+'/g), texts.map((text) => `'${text}'`));
});

for (const [cause, happen] of Object.entries(FINAL)) {
  returning(`a Peer stays away, with an error, when ${cause}`, 'chromium', async (stage) => {
    stage.flags = ['--ops_port', '0', '--admin_token', TOKEN];
    await stage.kill();
    await stage.start();
    const page = await stage.page();
    await stage.opens(page, { id: 'alice', options: { token: 'shared' } });

    const expected = await happen(stage);
    await page.next(...expected.slice(-2, -1));
    const text = expected.pop();
    assert.equal((await page.ask('details', 'alice error text')).at(-1), text);
    assert.deepEqual(await page.ask('heard'), ['alice open', ...expected]);
    assert.equal(await page.ask('willReconnect', 'alice'), false);

    await stage.kill();
    await stage.start();
    // Now each Peer that is lost would open.
    await page.ask('fire', 'online');
    await stage.opens(page, { id: 'later' });
    await stage.clientsUntil('later');
    assert.deepEqual(await page.ask('heard'), ['alice open', ...expected, 'later open']);
  });
}

returning('a Peer that is refused for the moment tries again', 'chromium', async (stage) => {
  const page = await stage.page();
  await stage.opens(page, { id: 'alice' });
  await page.ask('hold');
  await stage.kill();
  await page.next('alice disconnected');
  assert.equal(await page.ask('willReconnect', 'alice'), true);
  await stage.start(['--concurrent_limit', '1']);
  const other = await stage.page();
  await stage.opens(other, { id: 'first', options: { autoReconnect: false } });

  await page.ask('release');
  await page.next('alice server-error');
  await other.ask('do', { id: 'first', method: 'destroy' });
  await page.next('alice open');

  const heard = await page.ask('heard');
  assert.deepEqual(heard.filter((event) => event !== 'alice server-error'), told('alice', 'open', ...LOST, 'open'));
});

for (const type of ['online', 'pageshow', 'visibilitychange', 'resume']) {
  returning(`a Peer is back at once after ${type}`, 'chromium', async (stage) => {
    const page = await stage.page();
    await stage.opens(page, { id: 'alice' });
    // No pause ends.
    await page.ask('hold');
    await stage.kill();
    await page.next('alice disconnected');
    await stage.start();

    await page.ask('fire', type);

    await page.next('alice open');
  });
}

returning('a socket that has died without a sign is replaced when the browser is online again', 'chromium', async (stage) => {
  const proxy = await stage.keep('proxies', startProxy(stage.port));
  const page = await stage.page(`http://127.0.0.1:${proxy.port}/`);
  await stage.opens(page, { id: 'alice' });
  proxy.freeze();
  proxy.thaw();

  await page.ask('fire', 'online');

  await page.next('alice open');
  assert.deepEqual(await page.ask('heard'), told('alice', 'open', ...LOST, 'open'));
});

returning('a socket that works is kept when the browser is online again', 'chromium', async (stage) => {
  const page = await stage.page();
  for (const id of ['alice', 'bob']) await stage.opens(page, { id });
  await page.ask('hold');
  await page.ask('fire', 'online');
  // The broker answers each of them in order.
  await page.ask('connect', { from: 'alice', to: 'bob' });
  await page.ask('connect', { from: 'bob', to: 'alice' });
  await page.ask('release');

  await page.ask('echoAll');
  assert.deepEqual(await page.ask('heard'), ['alice open', 'bob open']);
  assert.deepEqual([await page.ask('kept', 'alice'), await page.ask('kept', 'bob')], [0, 0]);
});

returning('a room tells of the members that have not come back, and of no other', 'chromium', async (stage) => {
  const [page, other] = [await stage.page(), await stage.page()];
  for (const id of ['alice', 'bob']) await stage.opens(page, { id });
  await stage.opens(other, { id: 'clara' });
  await page.ask('enter', { name: 'lobby', ids: ['alice', 'bob'] });
  await other.ask('enter', { name: 'lobby', ids: ['clara'] });
  await page.next('room joined');

  await stage.kill();
  await page.next('alice disconnected');
  await other.close();
  await stage.start();

  await page.next('room left');
  await page.next('room left');
  assert.deepEqual((await page.ask('details', 'room left')).sort(), ['clara at alice', 'clara at bob']);
  assert.deepEqual(await page.ask('members'), [['alice', 'bob'], ['alice', 'bob']]);
});
