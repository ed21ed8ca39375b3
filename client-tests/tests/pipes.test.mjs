// webrtc.js in browsers: data channels over a broker where there is no WebRTC or no path for it, under libraries that know nothing of it.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { Client } from '../lib/client.mjs';
import { Page } from '../lib/page.mjs';
import { connect, exchange, startPipePages } from '../lib/pipe-pages.mjs';
import { startServer } from '../lib/server.mjs';
import { Stage, testOn } from '../lib/stage.mjs';
import { isThorough } from '../lib/thorough.mjs';
import { until } from '../lib/within.mjs';

const ENGINES = ['chromium', 'firefox'];
const MEGABYTE = 1_048_576;

let broker;
after(async () => (await broker)?.stop());

/** @typedef {import('../lib/pipe-pages.mjs').Kind} Kind */

/** Runs a test with pages of these kinds, whose data goes over a broker; or over a server of their own, which `hasTricks`. */
function visit(name, engine, kinds, run, { hasTricks = false, Kind = Page } = {}) {
  testOn(`${name} (${engine})`, () => new Stage(), async (stage) => {
    const server = await stage.keep('proxies', startPipePages({ broker: hasTricks ? undefined : await (broker ??= startServer()) }));
    for (const kind of kinds) await stage.keep('pages', Kind.load(engine, server.page(kind)));
    await run(stage.started.pages, server);
  });
}

async function sendsInOrder(one, other) {
  const texts = Array.from({ length: 100 }, (_, i) => `message ${i}`);
  await one.ask('send', { texts });
  for (let i = 0; i < texts.length; i += 1) await other.next('heard 0');
  assert.deepEqual(await other.ask('heard', 0), texts);
}

const PAIRS = {
  'two pages without WebRTC': [{ browser: 'none' }, { browser: 'none' }],
  'a page without WebRTC and one that has it': [{ browser: 'none' }, { browser: 'native' }],
  'a page that has WebRTC and one without': [{ browser: 'native' }, { browser: 'none' }],
  'two pages whose WebRTC finds no path': [{ browser: 'blocked' }, { browser: 'blocked' }],
};

for (const engine of ENGINES) {
  for (const [name, kinds] of Object.entries(PAIRS)) {
    visit(`${name} have data channels over the broker`, engine, kinds, async (pages, server) => {
      await connect(pages, ['x', ['y', { ordered: false, protocol: 'p' }]]);
      const [one, other] = pages;
      for (const page of pages) {
        await page.must('pipe');
        assert.ok((await page.ask('kinds')).includes('pipe'));
        assert.equal((await page.ask('states')).connectionState, 'connected');
      }
      await sendsInOrder(one, other);
      await sendsInOrder(other, one);
      assert.equal(server.requests.length, 2);
      await one.ask('closeChannel', 1);
      await other.must('closed 1');
      await one.ask('close');
      await other.must('closed 0');
    });
  }

  visit('two pages with WebRTC and a path open no pipe', engine, [{}, {}], async (pages, server) => {
    await connect(pages);
    await sendsInOrder(...pages);
    for (const page of pages) {
      assert.equal((await page.ask('kinds')).includes('pipe'), false);
      assert.equal(await page.count('pipe'), 0);
    }
    assert.equal(server.requests.length, 0);
  });

  visit('a page without WebRTC fails at once if the other has no webrtc.js, whose browser takes its offer', engine,
    [{ browser: 'none' }, { script: false }], async ([one, other]) => {
      await one.ask('make', ['x']);
      await other.ask('make');
      await exchange(one, other);
      await one.must('closed 0');
      assert.equal((await one.ask('states')).connectionState, 'failed');
    });

  visit('a browser without webrtc.js takes the answer of a page without WebRTC, also to sound', engine,
    [{ script: false }, { browser: 'none' }], async ([one, other]) => {
      await one.ask('make', ['x']);
      await one.ask('addSound');
      await other.ask('make');
      await exchange(one, other);
      assert.equal((await one.ask('states')).signalingState, 'stable');
      while ((await other.next('connectionState')).detail !== 'failed');
    });

  visit('two pages with WebRTC, of which one has no webrtc.js, connect directly', engine, [{}, { script: false }], async (pages, server) => {
    await connect(pages);
    await sendsInOrder(...pages);
    assert.equal(server.requests.length, 0);
  });

  visit('simple-peer connects', engine, [{ browser: 'none', library: 'simple-peer' }, { library: 'simple-peer' }], async ([one, other]) => {
    await one.ask('meet', true);
    await other.ask('meet', false);
    await other.ask('signal', await one.must('signal'));
    await one.ask('signal', await other.must('signal'));
    await one.must('connected');
    await other.must('connected');
    await one.ask('say', 'hello');
    assert.equal(await other.must('data'), 'hello');
    await one.ask('leave');
    await other.must('lost');
  });
}

const VERSIONS = isThorough ? ['0.3.14', '0.3.24', '1.0.0', '1.3.2', '1.5.5', '2.0.0-beta.3'] : ['0.3.14', '1.5.5', '2.0.0-beta.3'];
for (const version of VERSIONS) {
  for (const [name, [one, other]] of Object.entries(PAIRS)) {
    if (!isThorough && name === 'a page that has WebRTC and one without') continue;
    visit(`PeerJS ${version}: ${name}`, 'chromium', [{ ...one, library: version }, { ...other, library: version }], async ([alice, bob], server) => {
      const id = `${version} ${name}`.replaceAll(/[^\w]/g, '-');
      await bob.open(server, id);
      await alice.open(server, `alice-${id}`);
      const line = await alice.connect(id);
      assert.equal(await line.echo('hello'), 'hello');
      assert.equal(await line.echoBytes(MEGABYTE), true);
      assert.equal((await alice.way()).local.type, 'relay');
    }, { Kind: Client });
  }
}

const NONE = PAIRS['two pages without WebRTC'];

visit('the broker sees nothing that pages send', 'chromium', NONE, async (pages, server) => {
  await connect(pages);
  const [one, other] = pages;
  const seen = [];
  server.meddle = (frame) => {
    seen.push(frame);
    return [frame];
  };
  await one.ask('send', { texts: ['a secret that nobody knows'] });
  await other.next('heard 0');
  assert.ok(seen.length > 0);
  assert.equal(Buffer.concat(seen).includes('secret'), false);
}, { hasTricks: true });

/** Candidates of a port where nobody answers. */
const nowhere = ({ type, sdp }) => ({ type, sdp: sdp.replace(/^(a=candidate:\S+ 1 udp \d+ \S+) \d+/gm, '$1 47123') });

/** @type {Record<string, (pages: Page[], server: any) => Promise<unknown>>} Each way to end, up to the last event that pages hear. */
const ENDS = {
  'the other page closes it': async ([one, other]) => {
    await connect([one, other]);
    await other.ask('close');
    while ((await one.next('connectionState')).detail !== 'failed');
  },
  'this page closes it': async ([one, other]) => {
    await connect([one, other]);
    await one.ask('close');
    await one.must('closed 0');
  },
  'this page closes it while it connects': async ([one]) => {
    await one.ask('make', ['x']);
    await one.ask('offer');
    await one.ask('close');
    await one.must('closed 0');
  },
  'this page closes its channel while it connects': async ([one]) => {
    await one.ask('make', ['x']);
    await one.ask('offer');
    await one.ask('closeChannel', 0);
    await one.must('closed 0');
  },
  'there is no path, and this page closes what has failed': async ([one, other], server) => {
    server.refuses = true;
    await one.ask('make', ['x']);
    await one.ask('closeWhenFailed');
    await other.ask('make');
    await one.ask('accept', nowhere(await other.ask('accept', nowhere(await one.ask('offer')))));
    await one.must('closed 0');
  },
};

/**
 * What a page has heard of a connection and its channel, in an order that Chromium keeps. It leaves ICE at `disconnected` where W3C
 * has `failed`, for which PeerJS waits.
 */
const ANY_ORDER = /^(pipe|open 0|signalingState|iceGatheringState|iceConnectionState (disconnected|failed))/;
const heardBy = async (page) => (await page.ask('order'))
  .map(([name, detail]) => (name.endsWith('State') ? `${name} ${detail}` : name))
  .filter((event) => !ANY_ORDER.test(event));

for (const [how, end] of Object.entries(ENDS)) {
  const kinds = /** @type {Kind[]} */ ([{ script: false }, { browser: 'none' }, { browser: 'native' }]);
  visit(`a page without WebRTC hears the events of one with it, in their order, if ${how}`, 'chromium', kinds.flatMap((kind) => [kind, kind]), async (pages, server) => {
    const pairs = kinds.map((_, i) => pages.slice(2 * i, 2 * i + 2));
    await Promise.all(pairs.map((pair) => end(pair, server)));
    const [native, ...others] = await Promise.all(pairs.map(([one]) => heardBy(one)));
    for (const heard of others) assert.deepEqual(heard, native);
  }, { hasTricks: true });
}

const DEAD_ENDS = {
  'the other page has no webrtc.js': { browser: 'native', script: false },
  'pipes are off': { browser: 'none' },
};

for (const [why, kind] of Object.entries(DEAD_ENDS)) {
  visit(`a caller of PeerJS hears that its connection has failed if ${why}`, 'chromium',
    [{ browser: 'none', library: '1.5.5' }, { ...kind, library: '1.5.5' }], async ([alice, bob], server) => {
      server.refuses = true;
      const signalling = await (broker ??= startServer());
      const id = `bob-${kind.browser}`;
      await bob.open(signalling, id);
      await alice.open(signalling, `alice-${kind.browser}`);
      await alice.dial(id);
      assert.equal((await alice.next('line error')).detail, 'negotiation-failed');
    }, { Kind: Client, hasTricks: true });
}

visit('where pipes are off, the page hears that WebRTC found no path', 'chromium', PAIRS['two pages whose WebRTC finds no path'], async (pages, server) => {
  server.refuses = true;
  const [one, other] = pages;
  await one.ask('make', ['x']);
  await other.ask('make');
  await exchange(one, other);
  await until('both pages to have asked', () => server.requests.length === 2);
  assert.equal(await one.count('pipe'), 0);
}, { hasTricks: true });
