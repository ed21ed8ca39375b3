// The broker's `peerjs.js` reports how connections went: once for each of their ends, and only if the key takes reports.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesIn, guessWhy } from '../../client/src/connection-stats.js';
import { Client } from '../lib/client.mjs';
import { TOKEN, dashboardOf } from '../lib/dashboard.mjs';
import { startSite } from '../lib/listen.mjs';
import { indented, listing } from '../lib/listings.mjs';
import { returning } from '../lib/returning.mjs';
import { folderWith, scratch } from '../lib/scratch.mjs';
import { until } from '../lib/within.mjs';

const WITH_API = ['--ops_port', '0', '--admin_token', TOKEN];

/** Pages at a server whose key takes reports. `reports(number)` waits for that many, the latest first. */
const reporting = (behaviour, browser, run, flags = ['--call_reports', '--pipes=off']) => returning(behaviour, browser, async (stage) => {
  await stage.start([...WITH_API, ...flags]);
  const { api } = await dashboardOf(stage.broker);
  const answer = async () => (await api('GET', '/api/keys/peerjs/reports')).json;
  const reports = async (number) => {
    await until(`${number} reports`, async () => (await answer()).reports.length >= number);
    return answer();
  };
  await run(stage, reports, api);
});

/** Opens a Peer in a page. It answers data, and counts the requests to the broker that send a report, and the looks at connections. */
async function opens(page, id, options = {}) {
  await page.run(([id, options]) => {
    const { fetch } = window;
    window.posted ??= 0;
    window.looks = { number: 0 };
    const { getStats } = RTCPeerConnection.prototype;
    RTCPeerConnection.prototype.getStats = async function look(...args) {
      const { looks } = window;
      const stats = await getStats.apply(this, args);
      looks.number += 1;
      return stats;
    };
    window.fetch = (url, ...more) => {
      const answer = fetch(url, ...more);
      if (String(url).endsWith('/reports')) {
        window.posted += 1;
        window.answered = answer.then(() => {}, () => {});
      }
      return answer;
    };
    const peer = window.peer = new Peer(id, { config: { iceServers: [] }, ...options });
    peer.on('connection', (line) => line.on('data', (value) => line.send(value)));
    return new Promise((open) => { peer.on('open', open); });
  }, [id, options]);
  return page;
}

/** Counts only looks at connections that begin from now on. */
async function countLooks(pages) {
  for (const page of pages) await page.run(() => { window.looks = { number: 0 }; });
}

/** Waits until each page has looked at its connection: one that is being closed tells little. */
async function looked(pages) {
  for (const page of pages) await until('a look at the connection', () => page.run(() => window.looks.number > 0));
}

/** Connects a page to another one, and sends a text there and back. */
const talks = (page, to) => page.run((to) => new Promise((done) => {
  const line = window.line = window.peer.connect(to);
  line.on('open', () => line.send('x'.repeat(1000)));
  line.on('data', done);
}), to);

const hangsUp = (page) => page.run(() => window.line.close());

/** Starts a connection that will not open; `end()` in the page closes it. */
const tries = (page, to) => page.run((to) => {
  const line = window.peer.connect(to);
  const pc = line.peerConnection;
  pc.addEventListener('signalingstatechange', () => { window.isAnswered ||= pc.signalingState === 'stable'; });
  window.end = () => line.close();
}, to);

/** Moves the clock of a page: one that ends a connection within 5 s has not waited for it. */
const later = (page) => page.run(() => {
  const now = performance.now.bind(performance);
  performance.now = () => now() + 6_000;
});

const ofCaller = ({ reports }) => reports.find(({ caller }) => caller);

for (const browser of ['chromium', 'firefox']) {
  reporting(`a connection that goes directly is one report of each end (${browser})`, browser, async (stage, reports) => {
    const [alice, bob] = [await opens(await stage.page(), 'alice'), await opens(await stage.page(), 'bob')];
    await talks(alice, 'bob');
    await countLooks([alice, bob]);
    await looked([alice, bob]);
    await hangsUp(alice);
    await bob.run(() => window.peer.destroy());
    const told = await reports(2);
    assert.deepEqual([told.opened, told.failed], [{ direct: 1 }, {}]);
    assert.deepEqual(told.reports.map(({ id, peer, way, kind, caller }) => `${id} ${peer} ${way} ${kind} ${caller}`).sort(),
      ['alice bob direct data true', 'bob alice direct data false']);
    const report = ofCaller(told);
    assert.ok(report.open_ms > 0 && report.duration_ms >= 0, JSON.stringify(report));
    // Those of the last look.
    assert.ok(report.sent_bytes > 0 && report.received_bytes > 0, JSON.stringify(report));
    assert.ok(report.local.includes('host') && report.remote.includes('host'), JSON.stringify(report));
    assert.ok(report.states.includes('connected') || report.states.includes('completed'), JSON.stringify(report));
    assert.doesNotMatch(JSON.stringify(told), /127\.0\.0\.1/);
    // Nothing is reported twice, however often it ends.
    await alice.run(() => window.peer.destroy());
    assert.deepEqual([await alice.run(() => window.posted), await bob.run(() => window.posted)], [1, 1]);
  });

  reporting(`a page that goes away reports what is open (${browser})`, browser, async (stage, reports) => {
    const [alice, bob] = [await opens(await stage.page(), 'alice'), await opens(await stage.page(), 'bob')];
    await alice.run(() => new Promise((open) => { window.peer.connect('bob').on('open', open); }));
    await looked([alice, bob]);
    await alice.run(() => { location.href = 'about:blank'; }).catch(() => {});
    const report = ofCaller(await reports(1));
    assert.deepEqual([report.id, report.way], ['alice', 'direct']);
    await bob.run(() => window.peer.destroy());
    const { opened } = await reports(2);
    assert.deepEqual(opened, { direct: 1 });
  });

  reporting(`an absent peer is gone (${browser})`, browser, async (stage, reports) => {
    const alice = await opens(await stage.page(), 'alice');
    await tries(alice, 'nobody');
    const { failed, reports: [report] } = await reports(1);
    assert.deepEqual([failed, report.reason, report.peer], [{ peer_gone: 1 }, 'peer_gone', 'nobody']);
    await alice.run(() => window.end());
    await alice.run(() => window.peer.destroy());
    assert.equal(await alice.run(() => window.posted), 1);
  });

  reporting(`without a relay, networks that need one have none (${browser})`, browser, async (stage, reports) => {
    const [alice, bob] = [await opens(await stage.page(), 'alice', { config: { iceServers: [], iceTransportPolicy: 'relay' } }), await opens(await stage.page(), 'bob')];
    await tries(alice, 'bob');
    // Neither browser has a candidate that works, and some wait for ever.
    await until('the answer', () => alice.run(() => Boolean(window.isAnswered)));
    await later(alice);
    await alice.run(() => window.end());
    await bob.run(() => window.peer.destroy());
    assert.equal(ofCaller(await reports(1)).reason, 'no_relay');
  });

  reporting(`data of a browser without WebRTC goes over a pipe (${browser})`, browser, async (stage, reports) => {
    const [alice, bob] = [await opens(await stage.page('none.html'), 'alice'), await opens(await stage.page(), 'bob')];
    await talks(alice, 'bob');
    await hangsUp(alice);
    await bob.run(() => window.peer.destroy());
    const { opened } = await reports(2);
    assert.deepEqual(opened, { pipe: 1 });
  }, ['--call_reports']);

  reporting(`a key that takes no reports gets none, and one of the page's own is asked once (${browser})`, browser, async (stage, reports, api) => {
    const [alice, bob] = [await opens(await stage.page(), 'alice'), await opens(await stage.page(), 'bob')];
    await talks(alice, 'bob');
    await hangsUp(alice);
    await bob.run(() => window.peer.destroy());
    assert.deepEqual([await alice.run(() => window.posted), await bob.run(() => window.posted)], [0, 0]);

    assert.equal((await api('POST', '/api/keys', { key: 'on', call_reports: true })).status, 201);
    assert.equal((await api('POST', '/api/keys', { key: 'off' })).status, 201);
    for (const [key, posts] of [['on', 2], ['off', 1]]) {
      const [carol, dave] = [await opens(await stage.page(), 'carol', { key }), await opens(await stage.page(), 'dave', { key })];
      for (const times of [1, 2]) {
        await countLooks([carol, dave]);
        await talks(carol, 'dave');
        if (key === 'on') await looked([carol, dave]);
        await hangsUp(carol);
        await until('a post, unless there was an answer', () => carol.run((least) => window.posted >= least, key === 'on' ? times : 1));
        await carol.run(() => window.answered);
      }
      await dave.run(() => window.peer.destroy());
      await carol.run(() => window.peer.destroy());
      assert.equal(await carol.run(() => window.posted), posts, String(key));
    }
    const { json: { opened } } = await api('GET', '/api/keys/on/reports');
    assert.deepEqual(opened, { direct: 2 });
  }, ['--data_dir', scratch()]);
}

for (const browser of ['chromium', 'firefox']) {
  returning(`the first page of docs/USE.md reports as it stands (${browser})`, browser, async (stage) => {
    const [block] = indented('docs/USE.md').filter((block) => block.includes('--call_reports'));
    const [, words, path] = block.match(/^peerbroker (.*)\ncurl http:\/\/localhost:9001(.*)$/m);
    const app = folderWith(`${listing('docs/USE.md', '<script src="/peerjs.js"></script>')}<script>${listing('docs/USE.md', 'open this page with')}</script>`);
    // With a STUN server that answers: PeerJS would ask public ones, and Firefox waits for them.
    await stage.server([...words.replace('--static_dir .', `--static_dir ${app}`).replace('9001', '0').split(' '), '--relay', '127.0.0.1:0', '--relay_private']);
    const { api } = await dashboardOf(stage.broker, '');
    const url = `http://127.0.0.1:${stage.broker.port}/`;
    const one = await stage.page(url);
    const id = await one.run(() => new Promise((open) => {
      // A constant of the page's own script.
      const peer = (0, eval)('peer');
      window.heard = new Promise((heard) => { peer.on('connection', (line) => line.on('data', heard)); });
      if (peer.open) open(peer.id);
      else peer.on('open', open);
    }));
    const other = await stage.page(`${url}#${id}`);
    assert.equal(await one.run(() => window.heard), 'hello');
    for (const page of [other, one]) await page.run(() => { location.href = 'about:blank'; }).catch(() => {});
    const answer = async () => (await api('GET', path)).json;
    await until('both reports', async () => (await answer()).reports.length === 2);
    assert.deepEqual((await answer()).opened, { direct: 1 });
  });
}

reporting('a call that its callee may not answer tells the reason', 'chromium', async (stage, reports) => {
  const alice = await opens(await stage.page(), 'alice');
  // A site that lets no page use the microphone. The browser under test would ask nobody.
  const html = `<!doctype html><link rel="icon" href="data:,"><script src="http://127.0.0.1:${stage.port}/peerjs.js"></script>`;
  const site = await stage.keep('sites', startSite(html, { 'Permissions-Policy': 'microphone=()' }));
  const bob = await opens(await stage.page(site.url), 'bob');
  await bob.run(() => {
    window.peer.on('call', (call) => navigator.mediaDevices.getUserMedia({ audio: true }).then((stream) => call.answer(stream), () => call.close()));
  });
  await alice.run(() => {
    const stream = Object.assign(document.createElement('canvas'), { width: 16, height: 16 }).captureStream(5);
    window.call = window.peer.call('bob', stream);
  });
  const { reports: [report] } = await reports(1);
  assert.deepEqual([report.id, report.kind, report.caller, report.reason], ['bob', 'media', false, 'permission']);
  await later(alice);
  await alice.run(() => window.call.close());
  assert.equal(ofCaller(await reports(2)).reason, 'unanswered');
});

reporting('a call tells its loss', 'chromium', async (stage, reports) => {
  const [alice, bob] = [await opens(await stage.page(), 'alice'), await opens(await stage.page(), 'bob')];
  await bob.run(() => {
    window.peer.on('call', (call) => {
      const video = Object.assign(document.createElement('video'), { muted: true, autoplay: true });
      video.addEventListener('playing', () => { window.isSeen = true; });
      call.on('stream', (stream) => { video.srcObject = stream; });
      call.answer();
    });
  });
  await alice.run(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 16, height: 16 });
    const context = canvas.getContext('2d');
    setInterval(() => context.fillRect(0, 0, 16, 16), 50);
    window.call = window.peer.call('bob', canvas.captureStream(20));
  });
  await until('a picture', () => bob.run(() => window.isSeen));
  await countLooks([alice, bob]);
  await looked([alice, bob]);
  await alice.run(() => window.call.close());
  await bob.run(() => window.peer.destroy());
  const told = await reports(2);
  const ofCallee = told.reports.find(({ caller }) => !caller);
  assert.deepEqual([told.opened, ofCallee.kind, ofCallee.loss], [{ direct: 1 }, 'media', 0]);
});

reporting('the test of the landing page guesses in the same words', 'chromium', async (stage) => {
  const page = await stage.page('broker/');
  await page.run(() => {
    const Native = RTCPeerConnection;
    window.RTCPeerConnection = /** @type {any} */ (class extends Native {
      constructor(config) {
        super({ ...config, iceTransportPolicy: 'relay' });
      }
    });
    document.getElementById('test-broker').click();
  });
  const text = () => page.run(() => document.body.innerText);
  await until('a guess', async () => (await text()).includes('A guess: '));
  assert.match(await text(), /A guess: the networks need a relay, and there was none\./);
});

reporting('PeerJS of npm reports nothing', 'chromium', async (stage, reports, api) => {
  const { url } = await stage.site();
  const [alice, bob] = await Promise.all([0, 1].map(() => stage.keep('pages', Client.load('chromium', url('1.5.5')))));
  await alice.open(stage.broker, 'alice');
  await bob.open(stage.broker, 'bob');
  const line = await alice.connect('bob');
  assert.equal(await line.echo('x'), 'x');
  await alice.run(() => window.harness.thePeer().destroy());
  await bob.run(() => window.harness.thePeer().destroy());
  // A report that came after all would be among these.
  const { opened } = (await api('GET', '/api/keys/peerjs/reports')).json;
  assert.deepEqual(opened, {});
});

test('a reason is guessed from what an end knows', () => {
  const line = (kind, priority = 2122260223, transport = 'udp') => `a=candidate:1 1 ${transport} ${priority} 192.0.2.1 9 typ ${kind}\r\n`;
  const described = (...lines) => ({ sdp: lines.join('') });
  const connection = (localDescription, remoteDescription, servers = 0) =>
    ({ localDescription, remoteDescription, iceServers: Array(servers).fill({ urls: 'stun:192.0.2.9' }) });
  const host = described(line('host'));
  const srflx = described(line('host'), line('srflx'));
  const offered = described('m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n', line('host'), line('relay'));
  const refused = described('m=audio 0 UDP/TLS/RTP/SAVPF 111\r\n', 'm=video 0 UDP/TLS/RTP/SAVPF 96\r\n');
  for (const [reason, facts, of] of /** @type {[string, any, any][]} */ ([
    ['permission', { isDenied: true, isEarly: true }, {}],
    ['peer_gone', { isGone: true, isEarly: true }, connection(host, null)],
    ['codec', { isRefused: true }, connection(host, null)],
    ['codec', {}, connection(offered, refused)],
    ['left', { isEarly: true }, connection(srflx, srflx)],
    ['unanswered', {}, {}],
    ['unanswered', {}, connection(srflx, null, 1)],
    ['no_udp', {}, connection(host, srflx, 1)],
    ['no_udp', {}, connection(host, described(line('relay')), 1)],
    ['no_relay', {}, connection(host, srflx)],
    ['no_relay', {}, connection(srflx, described(line('host', 1686052607, 'TCP')), 1)],
    ['unknown', {}, connection(offered, srflx, 1)],
    ['unknown', {}, connection(srflx, described(line('host', 255)), 1)],
  ])) assert.equal(guessWhy(facts, of), reason, JSON.stringify([facts, of]));
});

test('the bytes of a connection are those of all pairs that it had', () => {
  const stats = (...reports) => new Map(reports.map((report, at) => [String(at), report]));
  const [before, now] = [{ type: 'candidate-pair', bytesSent: 3246, bytesReceived: 3401 }, { type: 'candidate-pair', bytesSent: 50, bytesReceived: 0 }];
  const [all, none] = [{ sent: 3296, received: 3401 }, { sent: 0, received: 0 }];
  // Chromium may forget the first pair.
  const transport = { type: 'transport', bytesSent: 3296, bytesReceived: 3401 };
  const chromium = [stats(before, now, transport), stats(now, transport)];
  const firefox = [stats(before, now, { type: 'transport' }), stats(before, now)];
  assert.deepEqual([...chromium, ...firefox, stats()].map(bytesIn), [all, all, all, all, none]);
});
