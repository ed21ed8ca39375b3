// Four thousand Peers that lose their broker at once, with the clock of this test: when they come back, and how many at a time.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import vm from 'node:vm';

const PEERS = 4_000;
/** Milliseconds after which a WebSocket is open, or has failed. */
const HANDSHAKE = 5;
/** A twentieth of `--connections_per_address`, and its burst. */
const [RATE, BURST] = [50, 500];

const script = ['broker-of.js', 'reconnect.js'].map((name) => readFileSync(resolve(import.meta.dirname, '../../client/src/peer', name), 'utf8'))
  .join('').replace(/^import .*/gm, '').replace(/^export /gm, '');

/** Milliseconds, each with its actions in the order in which they were set. */
class Clock {
  now = 0;
  /** Peers that are not connected. */
  away = 0;
  #actions = new Map();
  #cleared = new Set();
  #last = 0;

  set(action, pause = 0) {
    this.#last += 1;
    const at = this.now + Math.max(1, Math.round(pause));
    if (!this.#actions.has(at)) this.#actions.set(at, []);
    this.#actions.get(at).push([this.#last, action]);
    return this.#last;
  }

  clear(timer) {
    this.#cleared.add(timer);
  }

  run(isOver) {
    while (!isOver()) {
      assert.ok(this.#actions.size > 0, 'nobody tries any more');
      this.now += 1;
      const due = this.#actions.get(this.now) ?? [];
      this.#actions.delete(this.now);
      for (const [timer, action] of due) if (!this.#cleared.delete(timer)) action();
    }
  }
}

/** The same numbers in each run. */
function randomNumbers(seed = 1) {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** As far as the script looks: the states of PeerJS's Peer, and its socket. */
function makePeer(id, clock, admits, returns) {
  const socket = {
    _socket: undefined,
    start() {
      const webSocket = /** @type {any} */ ({ onclose: () => { socket._socket = undefined; } });
      socket._socket = webSocket;
      clock.set(() => {
        if (admits()) peer.welcome();
        else webSocket.onclose({ code: 1006, reason: '' });
      }, HANDSHAKE);
    },
  };
  const peer = {
    id: null, _lastServerId: id, open: true, disconnected: false, destroyed: false, options: { token: id, autoReconnect: true }, backAt: undefined,
    welcome() {
      clock.away -= 1;
      returns.of(peer).opened();
      Object.assign(peer, { open: true, backAt: clock.now });
    },
  };
  returns.watch(peer, socket);
  returns.of(peer).wanted();
  socket.start();
  return Object.assign(peer, {
    lose() {
      const webSocket = socket._socket;
      const { onclose } = webSocket;
      Object.assign(peer, { open: false, disconnected: true });
      onclose({ code: 1006, reason: '' });
    },
  });
}

/** All Peers lose a broker that is away for so many milliseconds. `isOneAddress`: all of them come from one. */
function storm(outage, { isOneAddress = false } = {}) {
  const clock = new Clock();
  let isThere = true;
  let allowance = BURST;
  let countedAt = 0;
  const attempts = [];
  const admits = () => {
    attempts.push(clock.now);
    if (!isThere || !isOneAddress || clock.now < 1_000) return isThere;
    allowance = Math.min(BURST, allowance + (clock.now - countedAt) / 1_000 * RATE);
    countedAt = clock.now;
    if (allowance < 1) return false;
    allowance -= 1;
    return true;
  };
  const context = vm.createContext({
    setTimeout: (action, pause) => clock.set(action, pause), clearTimeout: (timer) => clock.clear(timer),
    Date: { now: () => clock.now }, Math: Object.assign(Object.create(Math), { random: randomNumbers() }),
    addEventListener() {}, document: { addEventListener() {} }, fetch: () => new Promise(() => {}),
  });
  const returns = vm.runInContext(`${script}; reconnects()`, context);
  const peers = Array.from({ length: PEERS }, (_, i) => makePeer(`peer-${i}`, clock, admits, returns));
  clock.away = PEERS;
  clock.run(() => clock.away === 0);
  attempts.length = 0;
  isThere = false;
  countedAt = 1_000;
  clock.set(() => {
    clock.away = PEERS;
    for (const peer of peers) peer.lose();
  }, 1_000 - clock.now);
  clock.set(() => { isThere = true; }, 1_000 - clock.now + outage);
  clock.run(() => clock.now > 1_000 && clock.away === 0);
  const times = peers.map(({ backAt }) => backAt - 1_000 - outage).sort((a, b) => a - b);
  const inTenth = new Map();
  for (const at of attempts) inTenth.set(Math.floor(at / 100), (inTenth.get(Math.floor(at / 100)) ?? 0) + 1);
  const share = (part) => times[Math.ceil(part * times.length) - 1] / 1_000;
  return { half: share(0.5), most: share(0.99), all: share(1), busiest: Math.max(...inTenth.values()), attempts: attempts.length / PEERS };
}

const shown = (outage, { half, most, all, busiest, attempts }) =>
  `away for ${outage / 1_000} s: back after ${half.toFixed(1)} s (half), ${most.toFixed(1)} s (99 %), ${all.toFixed(1)} s (all); `
  + `at most ${busiest} attempts in 100 ms, ${attempts.toFixed(1)} for each Peer`;

test('four thousand Peers are back soon, and do not come all at once', (t) => {
  for (const [outage, limit] of [[300, 2], [2_000, 2], [4_000, 2.5], [10_000, 5], [60_000, 30], [600_000, 30]]) {
    const seen = storm(outage);
    t.diagnostic(shown(outage, seen));
    assert.ok(seen.most <= limit, shown(outage, seen));
    // Half a second for the first attempts, so not more than a fifth and chance in a tenth of a second.
    assert.ok(seen.busiest <= PEERS / 4, shown(outage, seen));
  }
});

test('four thousand Peers of one address come back at the rate of the limit', (t) => {
  const seen = storm(300, { isOneAddress: true });
  t.diagnostic(shown(300, seen));
  // Nobody can be faster.
  const least = (PEERS - BURST) / RATE;
  assert.ok(seen.all >= least - 2 && seen.all <= 2 * least, shown(300, seen));
});
