// The ICE servers that the broker tells, with a real coturn, and the peerjs.js that takes them. The pages come from another
// origin.

import assert from 'node:assert/strict';
import { passwordOf, startCoturn } from '../lib/coturn.mjs';
import { startSite } from '../lib/listen.mjs';
import { listing } from '../lib/listings.mjs';
import { Page } from '../lib/page.mjs';
import { Stage, testOn } from '../lib/stage.mjs';
import { browsers } from '../lib/thorough.mjs';
import { until } from '../lib/within.mjs';

const SCRIPTS = ['peerjs.js', 'peerjs.min.js', 'peerjs.mjs'];
const RELAY_ONLY = { config: { iceTransportPolicy: 'relay' } };

for (const browser of browsers) {
  for (const script of browser === 'chromium' ? SCRIPTS : ['peerjs.js']) {
    ice(`${script} relays data and media through coturn, if the page wants nothing else (${browser})`, browser, async (stage) => {
      const server = await stage.server((await stage.coturn()).flags);
      const [alice, bob] = [await stage.page(server, script), await stage.page(server, script)];
      await bob.run(opened, { id: 'bob', options: RELAY_ONLY });
      await alice.run(opened, { id: 'alice', options: RELAY_ONLY });

      assert.deepEqual(await alice.run(exchanged, 'bob'), { answer: 'hello, and back', local: 'relay', remote: 'relay' });
      assert.deepEqual(await alice.run(called, 'bob'), { picture: true, local: 'relay', remote: 'relay' });
    });
  }

  ice(`a connection that begins before the servers are told waits for them (${browser})`, browser, async (stage) => {
    const server = await stage.server((await stage.coturn()).flags);
    const [alice, bob] = [await stage.page(server), await stage.page(server)];
    // Both sides know no server before the offer is there.
    for (const page of [alice, bob]) {
      await page.run(holdIce);
      await page.run(waitForIce);
    }
    await bob.run(opened, { id: 'bob', options: RELAY_ONLY });
    // PeerJS drops what it sends before its socket is open, so alice opens first.
    await alice.run(opened, { id: 'alice', options: RELAY_ONLY });
    const exchange = alice.run(exchanged, 'bob');
    await alice.run(iceIsAsked);
    await bob.run(iceIsAsked);
    await bob.run(() => {
      window.offered = new Promise((done) => { window.peer.socket.on('message', ({ type }) => type === 'OFFER' && done()); });
    });
    await alice.run(releaseIce);
    await bob.run(() => window.offered);
    await bob.run(releaseIce);

    assert.deepEqual(await exchange, { answer: 'hello, and back', local: 'relay', remote: 'relay' });
  });

  ice(`credentials that have ended are refused, others are not (${browser})`, browser, async (stage) => {
    const coturn = await stage.coturn();
    const server = await stage.server(coturn.flags);
    const page = await stage.page(server);
    const { iceServers: [told] } = await (await fetch(`${urlOf(server)}/peerjs/ice`)).json();
    const username = `${Math.floor(Date.now() / 1000) - 60}:peerjs`;

    assert.equal(told.credential, passwordOf(told.username));
    assert.deepEqual(await page.run(gathered, told), ['relay']);
    assert.deepEqual(await page.run(gathered, { ...told, username, credential: passwordOf(username) }), []);
    assert.ok(coturn.said().includes(`Cannot find credentials of user <${username}>`), coturn.said());
  });
}

ice('a page that stays open gets new credentials before its next connection', 'chromium', async (stage) => {
  const server = await stage.server([...(await stage.coturn()).flags, '--turn_ttl', '2']);
  const [alice, bob] = [await stage.page(server), await stage.page(server)];
  await bob.run(opened, { id: 'bob', options: RELAY_ONLY });
  await alice.run(opened, { id: 'alice', options: RELAY_ONLY });
  await alice.run(exchanged, 'bob');
  const first = await alice.run(() => window.peer.options.config.iceServers[0].username);
  await until('the credentials to end', () => Date.now() > 1000 * (Number(first.split(':')[0]) + 1));

  assert.deepEqual(await alice.run(exchanged, 'bob'), { answer: 'hello, and back', local: 'relay', remote: 'relay' });
  assert.notEqual(await alice.run(() => window.peer.options.config.iceServers[0].username), first);
});

ice('open waits for no servers, and a connection starts without them in the end', 'chromium', async (stage) => {
  const server = await stage.server((await stage.coturn()).flags);
  for (const never of [holdIce, failIce]) {
    const [alice, bob] = [await stage.page(server), await stage.page(server)];
    for (const page of [alice, bob]) await page.run(never);
    const [a, b] = [`a of ${never.name}`, `b of ${never.name}`];
    await bob.run(opened, { id: b });
    await alice.run(opened, { id: a });

    const { answer } = await alice.run(exchanged, b);

    assert.equal(answer, 'hello, and back');
    const { iceServers } = await alice.run(() => window.peer.options.config);
    assert.deepEqual(iceServers, await alice.run(() => peerjs.util.defaultConfig.iceServers));
  }
});

ice('what the page passes wins', 'chromium', async (stage) => {
  const server = await stage.server(['--stun_url', 'stun:127.0.0.1:9']);
  const page = await stage.page(server);
  const { port } = server;
  const seen = await page.run(async ({ port }) => {
    const peers = [
      new Peer('one'), new Peer('two', { config: { iceServers: [] } }), new Peer('three', { config: { bundlePolicy: 'max-bundle' } }),
      new Peer('four', { host: 'localhost', port }), new Peer('five'),
    ];
    await Promise.all(peers.map((peer) => new Promise((done) => peer.on('open', done))));
    while (peers[0].options.config === peerjs.util.defaultConfig) await new Promise((done) => setTimeout(done, 20));
    peers[4].options.config = { iceServers: [] };
    return peers.map(({ options }) => options.config);
  }, { port });
  const told = [{ urls: ['stun:127.0.0.1:9'] }];
  const [one, two, three, four, five] = seen;
  assert.deepEqual(one, { ...four, iceServers: told });
  assert.deepEqual(two, { iceServers: [] });
  assert.deepEqual(three, { bundlePolicy: 'max-bundle', iceServers: told });
  assert.match(JSON.stringify(four), /stun\.l\.google\.com/);
  assert.deepEqual(five, { iceServers: [] });
  // One request for all Peers of the key.
  assert.equal(await page.run(iceRequests), 1);
});

ice('a broker without servers, and the published script, leave PeerJS its own', 'chromium', async (stage) => {
  const [without, withServers] = [await stage.server(), await stage.server(['--stun_url', 'stun:127.0.0.1:9'])];
  for (const [server, script] of [[without, 'peerjs.js'], [withServers, 'peerjs-1.5.5.js']]) {
    const page = await stage.page(server, script);
    const isDefault = await page.run(async ({ host, port }) => {
      window.peer = new Peer('one', { host, port });
      await new Promise((done) => window.peer.on('open', done));
      return window.peer.options.config === peerjs.util.defaultConfig;
    }, { host: '127.0.0.1', port: server.port });
    assert.ok(isDefault, script);
    assert.equal(await page.run(iceRequests), 0, script);
  }
});

ice('the five lines of docs/CALLS.md give a page its servers', 'chromium', async (stage) => {
  const lines = listing('docs/CALLS.md', 'async function iceConfig');
  assert.equal(lines.trim().split('\n').length, 5);
  const server = await stage.server([...(await stage.coturn()).flags, '--path', '/app']);
  const page = await stage.page(server, 'app/peerjs-1.5.5.js');

  const { config, isDefault } = await page.run(async ({ lines, url }) => {
    const iceConfig = new Function(`${lines}\nreturn iceConfig;`)();
    const { config } = await iceConfig(url);
    const peer = new Peer('one', { ...await iceConfig(url, 'unknown') });
    const isDefault = peer.options.config === peerjs.util.defaultConfig;
    peer.destroy();
    return { config, isDefault };
  }, { lines, url: `${urlOf(server)}/app` });

  // Without servers, PeerJS keeps its own.
  assert.ok(isDefault);
  assert.deepEqual(await page.run(gathered, config.iceServers[0]), ['relay']);
});

function ice(behaviour, browser, run) {
  testOn(behaviour, () => new IceStage(browser), run);
}

class IceStage extends Stage {
  constructor(browser) {
    super();
    this.browser = browser;
  }

  coturn() {
    return this.keep('stores', startCoturn());
  }

  /** A page of another origin with a script of the server. */
  async page(server, script = 'peerjs.js') {
    const site = await this.keep('sites', startSite(pageWith(`${urlOf(server)}/${script}`)));
    const page = await this.keep('pages', Page.load(this.browser, site.url));
    await page.run(() => window.loaded);
    return page;
  }
}

const urlOf = ({ port }) => `http://127.0.0.1:${port}`;

function pageWith(script) {
  const load = script.endsWith('.mjs')
    ? `<script>window.loaded = import('${script}').then((module) => { window.Peer = module.Peer; });</script>`
    : `<script src="${script}"></script>`;
  return `<!doctype html><meta charset="utf-8"><title>ice</title><link rel="icon" href="data:,"><script>${wayOf}</script>${load}`;
}

// The functions below run in pages.

/** The types of the two candidates that a connection has chosen. */
async function wayOf({ peerConnection }) {
  const report = await peerConnection.getStats();
  const all = [...report.values()];
  // Firefox has no report of the transport, and marks the pair.
  const pair = report.get(all.find(({ type }) => type === 'transport')?.selectedCandidatePairId)
    ?? all.find(({ type, selected }) => type === 'candidate-pair' && selected);
  const kind = (id) => report.get(id).candidateType;
  return { local: kind(pair.localCandidateId), remote: kind(pair.remoteCandidateId) };
}

/** A Peer that echoes what it gets, and answers calls with its camera. */
async function opened({ id, options }) {
  window.peer = new Peer(id, options);
  window.peer.on('connection', (line) => line.on('data', (text) => line.send(`${text}, and back`)));
  window.peer.on('call', async (call) => call.answer(await navigator.mediaDevices.getUserMedia({ audio: true, video: true })));
  return new Promise((done, failed) => {
    window.peer.on('open', done);
    window.peer.on('error', failed);
  });
}

async function exchanged(to) {
  const line = window.peer.connect(to);
  await new Promise((done, failed) => {
    line.on('open', done);
    line.on('error', failed);
    window.peer.on('error', failed);
  });
  const answered = new Promise((done) => line.on('data', done));
  line.send('hello');
  const answer = await answered;
  return { answer, ...await window.wayOf(line) };
}

async function called(to) {
  const call = window.peer.call(to, await navigator.mediaDevices.getUserMedia({ audio: true, video: true }));
  const stream = await new Promise((done, failed) => {
    call.on('stream', done);
    call.on('error', failed);
  });
  const video = document.body.appendChild(document.createElement('video'));
  Object.assign(video, { muted: true, srcObject: stream });
  const moving = new Promise((done) => {
    video.requestVideoFrameCallback(() => video.requestVideoFrameCallback(() => done(true)));
  });
  video.play();
  const picture = await moving;
  return { picture, ...await window.wayOf(call) };
}

/** The types of candidates that a connection gathers with one server, if only relays are allowed. */
async function gathered(server) {
  const connection = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: 'relay' });
  connection.createDataChannel('one');
  const types = new Set();
  const complete = new Promise((done) => {
    connection.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) types.add(candidate.type);
    };
    connection.onicegatheringstatechange = () => {
      if (connection.iceGatheringState === 'complete') done();
    };
  });
  await connection.setLocalDescription(await connection.createOffer());
  await complete;
  connection.close();
  return [...types];
}

/** From now on the page's requests for ICE servers get no answer until they are released. */
function holdIce() {
  const original = window.fetch;
  const released = new Promise((done) => { window.release = done; });
  window.asked = new Promise((done) => {
    window.fetch = async (url, ...more) => {
      if (String(url).endsWith('/ice')) {
        done();
        await released;
      }
      return original(url, ...more);
    };
  });
}

/** A connection of the page waits for the servers without end: on a busy machine, three seconds may be over before they are released. */
function waitForIce() {
  const original = window.setTimeout;
  const patient = (act, time, ...more) => (time === 3000 ? 0 : original(act, time, ...more));
  window.setTimeout = Object.assign(patient, original);
}

function failIce() {
  const original = window.fetch;
  window.fetch = (url, ...more) => (String(url).endsWith('/ice') ? Promise.reject(new Error('no way')) : original(url, ...more));
}

function iceIsAsked() {
  return window.asked;
}

function releaseIce() {
  window.release();
}

function iceRequests() {
  return performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/ice')).length;
}
