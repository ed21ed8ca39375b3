// The broker's own scripts, which load webrtc.js where it is needed, in pages without WebRTC; and how each of them tells its pipes the broker and the key.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Client } from '../lib/client.mjs';
import { startPipePages } from '../lib/pipe-pages.mjs';
import { Stage, testOn } from '../lib/stage.mjs';

const KEY = 'ä b/c+d';
/** PeerJS writes its key into addresses as it is. */
const WRITTEN = encodeURIComponent(KEY);

class PipeStage extends Stage {
  /** A broker with pipes. */
  async pipes(flags = []) {
    return this.keep('proxies', startPipePages({ broker: await this.server(flags) }));
  }

  page(server, kind, engine = 'chromium') {
    return this.keep('pages', Client.load(engine, server.page({ browser: 'none', script: false, ...kind })));
  }
}

const served = (behaviour, run) => testOn(behaviour, () => new PipeStage(), run);

const settingsOf = ({ requests }) => requests.map(({ searchParams }) => [searchParams.get('key'), searchParams.get('token')]);

/** Both pages have a Peer, and send. @param {any} server @param {any[]} pages @param {object} options */
async function talk(server, [alice, bob], options = {}) {
  await bob.open(server, 'bob', { token: 'token of bob', ...options });
  await alice.open(server, 'alice', { token: 'token%20of+alice', ...options });
  const line = await alice.connect('bob');
  assert.equal(await line.echo('hello'), 'hello');
  assert.equal((await alice.way()).local.type, 'relay');
}

/** Two connections of one page: the first channel is open, or this is the reason of its error. */
const toItself = async () => {
  const [one, other] = [new RTCPeerConnection(), new RTCPeerConnection()];
  const channel = one.createDataChannel('x');
  const ended = new Promise((end) => {
    channel.onopen = () => end('open');
    channel.onerror = ({ error }) => end(error.message);
  });
  await one.setLocalDescription();
  await other.setRemoteDescription(one.localDescription);
  await other.setLocalDescription();
  await one.setRemoteDescription(other.localDescription);
  return ended;
};

/** What pages import. */
const importPeer = async () => { window.Peer = (await import(/** @type {any} */ ('/peerjs.mjs'))).Peer; };

for (const script of ['peerjs.js', 'peerjs.min.js', 'peerjs.all.js', 'peerjs.mjs']) {
  served(`pages without WebRTC that have ${script} of the broker need nothing else`, async (stage) => {
    const server = await stage.pipes(['--key', KEY]);
    const isModule = script.endsWith('.mjs');
    const library = isModule ? 'module' : script;
    const pages = [await stage.page(server, { library }), await stage.page(server, { library })];
    if (isModule) for (const page of pages) await page.run(importPeer);

    await talk(server, pages);

    assert.deepEqual(settingsOf(server).sort(), [[KEY, 'token of alice'], [KEY, 'token of bob']]);
  });
}

/** How often pages have loaded webrtc.js. */
const loads = (pages) => Promise.all(pages.map((page) => page.run(() => performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/webrtc.js')).length)));

served('a page loads webrtc.js when a connection finds no path, and not before', async (stage) => {
  const server = await stage.pipes();
  for (const [browser, times] of /** @type {const} */ ([['native', 0], ['blocked', 1]])) {
    const pages = [await stage.page(server, { browser, library: 'peerjs.min.js' }), await stage.page(server, { browser, library: 'peerjs.min.js' })];
    await pages[1].open(server, `bob-${browser}`);
    await pages[0].open(server, `alice-${browser}`);
    assert.deepEqual(await loads(pages), [0, 0]);
    assert.equal(await (await pages[0].connect(`bob-${browser}`)).echo('hello'), 'hello');
    assert.deepEqual(await loads(pages), [times, times]);
  }
});

served('over plain HTTP, where browsers make no keys, pages get them from webrtc.js', async (stage) => {
  const server = await stage.pipes();
  const url = server.page;
  server.page = (kind) => url(kind).replace('127.0.0.1', 'lan.test');
  const pages = [await stage.page(server, { browser: 'blocked', library: 'peerjs.js' }), await stage.page(server, { browser: 'blocked', library: 'peerjs.js' })];
  assert.equal(await pages[0].run(() => isSecureContext), false);
  await talk(server, pages, { host: 'lan.test' });
});

for (const engine of ['chromium', 'firefox']) {
  served(`a page without WebRTC has connections to one that has it and to two without (${engine})`, async (stage) => {
    const server = await stage.pipes();
    const library = 'peerjs.js';
    const alice = await stage.page(server, { library }, engine);
    await alice.open(server, 'alice');
    const others = { bob: 'native', carol: 'none', dave: 'none' };
    for (const [id, browser] of Object.entries(others)) {
      const page = await stage.page(server, { browser, library }, engine);
      await page.open(server, id);
    }
    const lines = await Promise.all(Object.keys(others).map((id) => alice.connect(id)));
    for (let round = 0; round < 3; round += 1) {
      const answers = await Promise.all(lines.map((line, i) => line.echo(`round ${round} of ${i}`)));
      assert.deepEqual(answers, lines.map((_, i) => `round ${round} of ${i}`));
    }
    assert.equal(server.requests.length, 6);
  });
}

for (const [place, library] of [['in front of', 'rooms.js'], ['behind', 'rooms.js-last']]) {
  for (const browser of ['none', 'blocked']) {
    served(`rooms.js of the broker ${place} a released PeerJS lets its data go over the broker (${browser})`, async (stage) => {
      const server = await stage.pipes(['--key', KEY]);
      const pages = [await stage.page(server, { library, browser }), await stage.page(server, { library, browser })];

      await talk(server, pages, { key: WRITTEN });

      assert.deepEqual(settingsOf(server).map(([key]) => key), [KEY, KEY]);
    });
  }
}

served('a room says which broker, key and token its peer has', async (stage) => {
  const keys = stage.keys();
  await keys.add('mine');
  const server = await stage.pipes(keys.flags);
  const [alice, bob] = [await stage.page(server, { script: true, library: 'released' }), await stage.page(server, { script: true, library: 'released' })];
  const options = { key: 'mine', token: 'mine too' };
  for (const [page, id] of /** @type {const} */ ([[bob, 'bob'], [alice, 'alice']])) {
    await page.open(server, id, options);
    await page.run(async () => {
      const { joinRoom } = await import(/** @type {any} */ ('/rooms.mjs'));
      await joinRoom(window.harness.thePeer(), 'lobby');
    });
  }

  const line = await alice.connect('bob');

  assert.equal(await line.echo('hello'), 'hello');
  assert.deepEqual(settingsOf(server), [['mine', 'mine too'], ['mine', 'mine too']]);
});

served('each of two Peers of a page uses the pipes of its own key', async (stage) => {
  const keys = stage.keys();
  for (const key of ['one', 'two']) await keys.add(key);
  const server = await stage.pipes(keys.flags);
  const bob = await stage.page(server, { library: 'peerjs.js' });
  const alice = await stage.page(server, { library: 'peerjs.js' });
  const both = async (page, id) => page.run(async ([id, port]) => {
    window.both = {};
    for (const key of ['one', 'two']) {
      const peer = window.both[key] = new Peer(id, { key, port });
      await new Promise((open) => { peer.on('open', open); });
      peer.on('connection', (line) => line.on('data', (data) => line.send(`${data} of ${key}`)));
    }
  }, [id, server.port]);
  await both(bob, 'bob');
  await both(alice, 'alice');

  const answers = await alice.run(() => Promise.all(['one', 'two'].map((key) => new Promise((done) => {
    const line = window.both[key].connect('bob');
    line.on('open', () => line.send('hello'));
    line.on('data', done);
  }))));

  assert.deepEqual(answers, ['hello of one', 'hello of two']);
  assert.deepEqual(settingsOf(server).map(([key]) => key).sort(), ['one', 'one', 'two', 'two']);
});

served('webrtc.js takes its key from the tag, its address, or the broker', async (stage) => {
  const keys = stage.keys();
  for (const key of ['mine', 'my own']) await keys.add(key);
  const server = await stage.pipes(['--key', KEY, ...keys.flags.filter((flag) => flag !== '--no_default_key')]);
  const page = await stage.page(server, { library: 'module' });
  /** The key of the pipe that a page of its own opens with such a tag. */
  const keyOf = async (attributes, number) => {
    await page.run(async ([attributes]) => {
      const frame = document.createElement('iframe');
      frame.srcdoc = `<script>for (const name of Object.getOwnPropertyNames(window)) if (/^(webkit)?RTC/.test(name)) delete window[name];</script>
        <script ${attributes}></script><script>(async () => {
          const [one, other] = [new RTCPeerConnection(), new RTCPeerConnection()];
          one.createDataChannel('x').onopen = () => parent.postMessage('open');
          await one.setLocalDescription();
          await other.setRemoteDescription(one.localDescription);
          await other.setLocalDescription();
          await one.setRemoteDescription(other.localDescription);
        })();</script>`;
      const opened = new Promise((open) => { window.onmessage = open; });
      document.body.append(frame);
      await opened;
      frame.remove();
    }, [attributes]);
    return settingsOf(server).at(number);
  };
  assert.deepEqual(await keyOf(`src="${server.url}webrtc.js"`, -1), [KEY, null]);
  assert.deepEqual(await keyOf(`src="${server.url}webrtc.js" data-key="mine" data-token="t"`, -1), ['mine', 't']);
  assert.deepEqual(await keyOf(`src="${server.url}webrtc.js?key=my+own"`, -1), ['my own', null]);
});

served('what a page has installed stays when scripts of the broker load', async (stage) => {
  const keys = stage.keys();
  await keys.add('mine');
  const server = await stage.pipes(keys.flags);
  const page = await stage.page(server, { library: 'module' });
  await page.run(async (broker) => {
    const { install } = await import(/** @type {any} */ ('/webrtc.mjs'));
    install({ broker, key: 'mine' });
    await import(/** @type {any} */ ('/rooms.mjs'));
    for (const src of ['/webrtc.js', '/rooms.js', '/peerjs.js']) {
      await new Promise((onload) => { document.head.append(Object.assign(document.createElement('script'), { src, onload })); });
    }
  }, server.url);

  assert.equal(await page.run(toItself), 'open');
  assert.deepEqual(settingsOf(server), [['mine', null], ['mine', null]]);
});

served('where a key wants proofs, pipes have the one of the Peer', async (stage) => {
  const keys = stage.keys();
  const tokenFor = await keys.addWithTokens('mine');
  const server = await stage.pipes(keys.flags);
  const pages = [await stage.page(server, { library: 'peerjs.js' }), await stage.page(server, { library: 'peerjs.js' })];
  const [alice, bob] = pages;
  const tokens = { alice: await tokenFor('alice'), bob: await tokenFor('bob') };
  await bob.open(server, 'bob', { key: 'mine', token: tokens.bob });
  await alice.open(server, 'alice', { key: 'mine', token: tokens.alice });

  assert.equal(await (await alice.connect('bob')).echo('hello'), 'hello');

  const sent = server.requests.map(({ searchParams }) => [searchParams.get('peer'), searchParams.get('token')]);
  assert.deepEqual(sent.sort(), Object.entries(tokens));
});

served('where a key wants proofs, a page whose descriptions go another way proves its id, or reads why there is no data', async (stage) => {
  const keys = stage.keys();
  const tokenFor = await keys.addWithTokens('mine');
  const server = await stage.pipes(keys.flags);
  const page = await stage.page(server, { library: 'module' });
  const token = await tokenFor('alice');
  const as = async (peer, token) => {
    await page.run(async ([broker, peer, token]) => {
      const { install } = await import(/** @type {any} */ ('/webrtc.mjs'));
      install({ broker, key: 'mine', peer, token: () => token });
    }, [server.url, peer, token]);
    return page.run(toItself);
  };

  assert.equal(await as('alice', token), 'open');
  assert.match(await as('mallory', token), /does not carry the data of this page: Invalid token provided\. Its operator/);
  assert.match(await as('alice', await tokenFor('alice', -60)), /The token has expired/);
});

served('where the pipes of a key are off, the page reads it', async (stage) => {
  const keys = stage.keys();
  await keys.add('mine', '--pipes=false');
  const server = await stage.pipes(keys.flags);
  const page = await stage.page(server, { library: 'module' });
  await page.run(async (broker) => {
    const { install } = await import(/** @type {any} */ ('/webrtc.mjs'));
    install({ broker, key: 'mine' });
  }, server.url);
  const withoutBroker = page.run(async () => (await import(/** @type {any} */ ('/webrtc.mjs'))).install());
  await assert.rejects(withoutBroker, /needs the address of a broker, not undefined/);
  assert.match(await page.run(toItself), /does not carry the data of this page: Pipes are off/);
});

for (const engine of ['chromium', 'firefox']) {
  served(`where there is no broker, the page reads it, also of another site (${engine})`, async (stage) => {
    const server = await stage.pipes();
    const page = await stage.page(server, { library: 'module' }, engine);
    for (const site of [server.url, server.url.replace('127.0.0.1', 'localhost')]) {
      const broker = `${site}elsewhere/`;
      await page.run(async (broker) => {
        const { install } = await import(/** @type {any} */ ('/webrtc.mjs'));
        install({ broker });
      }, broker);
      assert.equal(await page.run(toItself), `there is no broker at ${broker}`);
    }
    assert.equal(server.requests.length, 4, 'each end has tried once');
  });
}

served('a script of the broker that is run from `blob:` or `data:` says that it cannot tell its own address', async (stage) => {
  const server = await stage.pipes();
  const page = await stage.page(server, { library: 'module' });
  const said = [];
  page.listen('console', (message) => said.push(message.text()));
  page.listen('pageerror', (error) => said.push(String(error)));
  for (const script of ['peerjs.js', 'peerjs.min.js', 'webrtc.js', 'rooms.js']) {
    await page.run(async (path) => {
      const text = await (await fetch(path)).text();
      const urls = [URL.createObjectURL(new Blob([text], { type: 'text/javascript' })), `data:text/javascript,${encodeURIComponent(text)}`];
      for (const src of urls) {
        await new Promise((onload) => { document.head.append(Object.assign(document.createElement('script'), { src, onload })); });
      }
    }, `/${script}`);
    assert.ok(said.length >= 2, script);
    for (const text of said.splice(0)) assert.match(text, /cannot tell its own address/, script);
  }
});

served('a page pins webrtc.js with the hash of the published file', async (stage) => {
  const server = await stage.pipes();
  const page = await stage.page(server, { library: 'module' });
  const file = readFileSync(new URL('../../client/dist/webrtc.js', import.meta.url));
  const integrity = `sha384-${createHash('sha384').update(file).digest('base64')}`;
  const load = (hash) => page.run(([src, integrity]) => new Promise((done) => {
    const script = Object.assign(document.createElement('script'), { src, integrity, crossOrigin: 'anonymous' });
    Object.assign(script, { onload: () => done(typeof RTCPeerConnection), onerror: () => done('refused') });
    document.head.append(script);
  }), [`${server.url}webrtc.js`, hash]);

  assert.equal(await load(integrity.replace('sha384-', 'sha384-A')), 'refused');
  assert.equal(await load(integrity), 'function');
});
