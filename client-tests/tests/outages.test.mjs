// Nobody notices that the broker is updated or killed: pages with connections, calls and a room, with the broker's own PeerJS.
//
// Prints the times after which everybody was back. With THOROUGH=1, 50 Peers live through ten restarts of each kind.

import assert from 'node:assert/strict';
import { firefoxPreferences } from '../lib/browser.mjs';
import { returning } from '../lib/returning.mjs';
import { isThorough } from '../lib/thorough.mjs';
import { until, within } from '../lib/within.mjs';

// Browsers delay the WebSockets of a page that opens many at once.
const [PAGES, PEERS, RESTARTS] = isThorough ? [10, 5, 10] : [2, 4, 3];

// The failures of all pages together would delay the next WebSocket of each, but here a page stands for a machine.
firefoxPreferences['network.websocket.delay-failed-reconnects'] = false;

const TIMEOUT = isThorough ? 900_000 : 180_000;

async function exited(server, signal) {
  server.signal(signal);
  await within('the server to end', server.exited);
}

/** Each starts what the pages reach at `url`, and restarts it: resolves with the time from which it is there for all clients. */
const BROKERS = {
  'one node is killed': async (stage) => {
    await stage.start();
    return { restart: () => killed(stage) };
  },
  'one node behind nginx is killed': async (stage) => {
    await stage.start();
    return { url: await stage.nginx(stage.broker), restart: () => killed(stage) };
  },
  'one node is stopped and started': async (stage) => {
    await stage.start();
    return { restart: () => restarted(stage) };
  },
  'one node behind nginx is stopped and started': async (stage) => {
    await stage.start();
    return { url: await stage.nginx(stage.broker), restart: () => restarted(stage) };
  },
  'one node hands over to the next while it drains': async (stage) => {
    stage.flags = ['--reuse_port', '--drain_timeout', '1000'];
    await stage.start();
    const restart = async () => {
      const last = stage.broker;
      await stage.start();
      await exited(last, 'SIGTERM');
      return Date.now();
    };
    return { restart };
  },
  'one of three nodes behind nginx is killed': (stage) => ofCluster(stage, (cluster, number) => cluster.kill(number)),
  'each of three nodes behind nginx is updated': (stage) => ofCluster(stage, (cluster, number) => exited(cluster.nodes[number], 'SIGTERM')),
};

async function killed(stage) {
  await stage.kill();
  await stage.start();
  return Date.now();
}

async function restarted(stage) {
  await exited(stage.broker, 'SIGTERM');
  await stage.start();
  return Date.now();
}

async function ofCluster(stage, end) {
  const cluster = await stage.cluster();
  let turn = 0;
  const restart = async () => {
    const number = turn % cluster.nodes.length;
    turn += 1;
    await end(cluster, number);
    // The others take its clients.
    const ended = Date.now();
    cluster.nodes[number] = await cluster.startNode(number);
    return ended;
  };
  return { url: await stage.nginx(...cluster.nodes), restart };
}

for (const [restart, start] of Object.entries(BROKERS)) {
  for (const browser of ['chromium', 'firefox']) {
    // Firefox takes part in some of them always.
    if (browser === 'firefox' && !isThorough && !/^one node (is killed|behind nginx is stopped)/.test(restart)) continue;
    returning(`${restart}: ${PAGES * PEERS} Peers do not notice (${browser})`, browser, async (stage) => {
      const broker = await start(stage);
      const crowd = await Crowd.enter(stage, broker.url);
      const times = [];
      for (let restarts = 1; restarts <= RESTARTS; restarts += 1) {
        const since = await broker.restart();
        times.push(...await crowd.back(since));
        await crowd.works(restarts);
      }
      times.sort((a, b) => a - b);
      const at = (share) => `${(times[Math.ceil(share * times.length) - 1] / 1000).toFixed(1)} s`;
      stage.note(`back after ${at(0.5)} (half), ${at(0.99)} (99 %), ${at(1)} (all)`);
      await crowd.isUnmoved();
    }, TIMEOUT);
  }
}

class Crowd {
  #pages;
  #ids;

  static async enter(stage, url) {
    const crowd = new Crowd();
    crowd.#pages = [];
    for (let number = 0; number < PAGES; number += 1) crowd.#pages.push(await stage.page(url));
    crowd.#ids = crowd.#pages.map((_, page) => Array.from({ length: PEERS }, (_, peer) => `peer-${page}-${peer}`));
    await crowd.#each(async (page, ids) => {
      for (const id of ids) await stage.opens(page, { id });
    });
    await crowd.#each(async (page, ids, next) => {
      for (const [number, id] of ids.entries()) await page.ask('connect', { from: id, to: next[number] });
      await page.ask('call', { from: ids[0], to: next[1] });
      await page.ask('enter', { name: 'lobby', ids });
    });
    await crowd.#areTogether();
    return crowd;
  }

  /** `action(page, ids, next)` for each page at once; `next` are the ids of the page after it. */
  #each(action) {
    return Promise.all(this.#pages.map((page, number) => action(page, this.#ids[number], this.#ids[(number + 1) % PAGES])));
  }

  async #areTogether() {
    const everybody = JSON.stringify(this.#ids.flat().sort());
    const see = async (page) => (await page.ask('members')).every((members) => JSON.stringify(members) === everybody);
    await until('everybody to see everybody in the room', async () => (await Promise.all(this.#pages.map(see))).every(Boolean));
  }

  /** Waits until all that were lost are back; resolves with their times in milliseconds. */
  async back(since) {
    await this.#each((page) => page.ask('areOpen'));
    const times = await Promise.all(this.#pages.map((page) => page.ask('times')));
    return times.flat().map((time) => Math.max(time - since, 0));
  }

  /** The connections of before, a new one of each page, and the room. */
  async works(number) {
    await this.#each(async (page, ids, next) => {
      await page.ask('echoAll');
      await page.ask('connect', { from: ids[1], to: next[0] });
      await page.ask('echoAll');
    });
    await this.#pages[0].ask('say', number);
    const [first] = this.#ids.flat();
    await this.#each((page, ids) => Promise.all(ids.filter((id) => id !== first).map((id) => page.next(`${id} message`))));
  }

  /** Nothing has ended, and the room has never changed. */
  async isUnmoved() {
    const changes = ['line close', 'call close', 'room left', 'room closed', 'room updated'];
    const counts = await Promise.all(this.#pages.map((page) => Promise.all(changes.map((change) => page.ask('details', change)))));
    assert.deepEqual(counts, this.#pages.map(() => changes.map(() => [])));
    await this.#each(async (page, ids) => {
      const joined = await page.ask('details', 'room joined');
      assert.equal(new Set(joined).size, joined.length, `somebody has joined twice: ${joined}`);
      const heard = await page.ask('heard');
      assert.deepEqual(heard.filter((event) => !/ (open|network|disconnected)$/.test(event)), []);
      for (const id of ids) {
        const own = heard.filter((event) => event.startsWith(`${id} `)).join();
        assert.match(own, new RegExp(`^${id} open(,${id} network,${id} disconnected,${id} open)*$`));
      }
    });
  }
}
