// Data over the broker in large amounts, past ends that do not read, and through an update of the broker.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { peakOf } from '../lib/memory.mjs';
import { Page } from '../lib/page.mjs';
import { connect, startPipePages } from '../lib/pipe-pages.mjs';
import { Stage, testOn } from '../lib/stage.mjs';
import { until, within } from '../lib/within.mjs';

const MEGABYTE = 1_048_576;

/** Without limits, so that the pages and the broker are what takes time. */
const UNLIMITED = ['--pipe_total_bytes_per_second=0'];

const NONE = { browser: 'none' };

class LoadStage extends Stage {
  /** Where pages find the broker, which may become another one. */
  #place = { port: 0 };
  /** @type {any} */
  pipes;
  /** @type {any} */
  broker;

  /** Pages come to a new broker from now on. */
  async startBroker(flags = UNLIMITED) {
    this.broker = await this.server(flags);
    this.#place.port = this.broker.port;
    return this.broker;
  }

  /** Pages of these kinds. */
  async pages(engine, kinds) {
    for (const kind of kinds) await this.keep('pages', Page.load(engine, this.pipes.page(kind)));
    return this.started.pages;
  }

  async start() {
    await this.startBroker();
    this.pipes = await this.keep('proxies', startPipePages({ broker: this.#place }));
  }
}

const onStage = (behaviour, run) => testOn(behaviour, () => new LoadStage(), async (stage) => {
  await stage.start();
  await run(stage);
});

/**
 * Sends a file. Resolves with the seconds that it took.
 * @param {(arrived: number) => Promise<void>} during is called whenever more has arrived
 */
async function sendFile(one, other, size, during = async () => {}) {
  await other.ask('act', 'hash');
  await one.ask('startFile', size);
  for (let arrived = 0; arrived < size;) {
    arrived = await other.ask('more', arrived);
    await during(arrived);
  }
  const { hash, seconds } = await one.ask('sent');
  assert.equal(await other.ask('fileHash', size), hash);
  return seconds;
}

for (const [engine, name, kinds] of /** @type {const} */ ([
  ['chromium', 'two pages without WebRTC', [NONE, NONE]],
  ['chromium', 'a page without WebRTC and one that has it', [NONE, {}]],
  ['firefox', 'two pages without WebRTC', [NONE, NONE]],
])) {
  onStage(`a file of 100 MB arrives as it was sent: ${name} (${engine})`, async (stage) => {
    const [one, other] = await stage.pages(engine, kinds);
    await connect([one, other]);
    const before = peakOf(stage.broker.pid);
    const seconds = await sendFile(one, other, 100 * MEGABYTE);
    const grown = peakOf(stage.broker.pid) - before;
    stage.note(`${(100 / seconds).toFixed(1)} MB/s, and the broker grew by ${grown} MiB`);
    assert.ok(grown < 16, `the broker grew by ${grown} MiB`);
  });
}

for (const [how, replace] of Object.entries({
  'is updated': async (stage, former) => {
    await stage.startBroker();
    await former.stop();
  },
  'dies': async (stage, former) => {
    former.signal('SIGKILL');
    await former.exited;
    await stage.startBroker();
  },
  'is updated, with time for its clients to leave': async (stage, former) => {
    await stage.startBroker();
    former.signal('SIGTERM');
  },
})) {
  const flags = how.includes('time') ? [...UNLIMITED, '--drain_timeout=1000'] : UNLIMITED;

  onStage(`nothing is lost or doubled when the broker ${how}`, async (stage) => {
    const former = await stage.startBroker(flags);
    const pages = await stage.pages('chromium', [NONE, {}]);
    await connect(pages);
    const [one, other] = pages;
    let isReplaced = false;
    await sendFile(one, other, 60 * MEGABYTE, async (arrived) => {
      if (isReplaced || arrived < 10 * MEGABYTE) return;
      isReplaced = true;
      await replace(stage, former);
    });
    await former.exited;
    await until('both pages at the new broker', () => stage.pipes.openings >= 2);
    const texts = ['still', 'here'];
    await other.ask('send', { texts });
    for (const text of texts) assert.equal((await one.next('heard 0')).detail, text);
  });
}

onStage('a page that does nothing for a while stops its sender only', async (stage) => {
  const pages = await stage.pages('chromium', [NONE, NONE, NONE, {}]);
  const [one, busy, third, fourth] = pages;
  await connect([one, busy]);
  await connect([third, fourth]);
  await fourth.ask('act', 'echo');
  await busy.ask('act', 'hash');
  const before = peakOf(stage.broker.pid);
  const hanging = busy.ask('hang');
  await until('the page to do nothing', () => stage.pipes.held.length === 1);
  await one.ask('startFile', 20 * MEGABYTE);

  for (let round = 0; round < 100; round += 1) {
    await third.ask('send', { texts: [`round ${round}`] });
    assert.equal((await third.next('heard 0')).detail, `round ${round}`);
  }
  const [{ bufferedAmount }] = await one.ask('list');
  assert.ok(bufferedAmount > 0);
  assert.ok(peakOf(stage.broker.pid) - before < 8);

  stage.pipes.held[0].end();
  await hanging;
  for (let arrived = 0; arrived < 20 * MEGABYTE;) arrived = await busy.ask('more', arrived);
  assert.equal(await busy.ask('fileHash', 20 * MEGABYTE), (await one.ask('sent')).hash);
});

/** Two ends without webrtc.js, which keep no rules but those of WebSockets. */
async function rawEnds({ port }) {
  const [pipe, ...ends] = Array.from({ length: 3 }, () => randomBytes(16).toString('base64url'));
  const sockets = ends.map((end) => new WebSocket(`ws://127.0.0.1:${port}/pipe/${pipe}?key=peerjs&end=${end}`));
  await within('both ends', Promise.all(sockets.map((socket) => once(socket, 'message'))));
  return sockets;
}

onStage('an end that sends without pause to one that does not read fills no memory of the broker, and nobody else waits', async (stage) => {
  const before = peakOf(stage.broker.pid);
  const frame = randomBytes(65_536);
  for (let pair = 0; pair < 10; pair += 1) {
    const [sender, sleeper] = await rawEnds(stage.broker);
    sleeper.pause();
    for (let sent = 0; sent < 100; sent += 1) sender.send(frame);
    // Both kernels are full: the broker has stopped to read.
    let unsent = sender.bufferedAmount;
    await until('the broker to read no more', async () => {
      await new Promise((later) => { setTimeout(later, 100); });
      const isLess = sender.bufferedAmount < unsent;
      unsent = sender.bufferedAmount;
      return !isLess;
    });
    assert.ok(unsent > MEGABYTE / 2, `${unsent} bytes are not sent`);
  }

  const [one, other] = await rawEnds(stage.broker);
  for (let round = 0; round < 100; round += 1) {
    one.send(frame);
    const [heard] = await within('a frame', once(other, 'message'));
    assert.ok(frame.equals(heard));
  }
  const grown = peakOf(stage.broker.pid) - before;
  assert.ok(grown < 8, `the broker grew by ${grown} MiB`);
});
