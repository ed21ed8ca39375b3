// The PeerJS that the broker serves itself: a page that loads it and says `new Peer()` is connected to that broker. The
// pages come from another origin.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { test } from 'node:test';
import { parse } from 'acorn';
import { startBareVite } from '../lib/bare-vite.mjs';
import { bridge, forward, listen, startSite } from '../lib/listen.mjs';
import { Page } from '../lib/page.mjs';
import { headOf, startReverseProxy } from '../lib/reverse-proxy.mjs';
import { selfSigned, startServer } from '../lib/server.mjs';
import { Stage, testOn } from '../lib/stage.mjs';
import { browsers } from '../lib/thorough.mjs';
import { LIMIT, within } from '../lib/within.mjs';

const SCRIPTS = ['peerjs.js', 'peerjs.min.js', 'peerjs.mjs'];

for (const browser of browsers) {
  for (const script of SCRIPTS) {
    served(`${script} in a page of another origin needs no options (${browser})`, browser, async (stage) => {
      const server = await stage.server();

      await stage.connects(`http://127.0.0.1:${server.port}/${script}`);
    });
  }
}

served('the broker may be below a path', 'chromium', async (stage) => {
  const server = await stage.server(['--path', '/some/app']);

  for (const script of SCRIPTS) await stage.connects(`http://127.0.0.1:${server.port}/some/app/${script}`);
});

served('the broker may speak TLS', 'chromium', async (stage) => {
  const server = await stage.server([], { tls: true });

  for (const script of SCRIPTS) await stage.connects(`https://127.0.0.1:${server.port}/${script}`);
});

served('the broker may be behind a proxy on another port', 'chromium', async (stage) => {
  const proxy = await stage.keep('proxies', startReverseProxy(await stage.server(['--path', '/app'])));

  for (const script of SCRIPTS) await stage.connects(`http://127.0.0.1:${proxy.port}/app/${script}`);
});

// The broker knows neither the scheme, nor the port, nor the path under which its clients reach it.
served('the broker may be behind a proxy that speaks TLS and takes a path away', 'chromium', async (stage) => {
  const proxy = await stage.keep('proxies', startTlsProxy(await stage.server(), '/signal'));

  for (const script of SCRIPTS) await stage.connects(`https://127.0.0.1:${proxy.port}/signal/${script}`);
});

served('the built-in key of the broker is preset, whatever it is', 'chromium', async (stage) => {
  const server = await stage.server(['--key', 'ä b/c']);

  for (const script of SCRIPTS) await stage.connects(`http://127.0.0.1:${server.port}/${script}`);
});

served('the script takes a key in its address', 'chromium', async (stage) => {
  const keys = stage.keys();
  await keys.add('my game & more');
  const server = await stage.server(keys.flags);

  for (const script of SCRIPTS) {
    await stage.connects(`http://127.0.0.1:${server.port}/${script}?key=my%20game+%26%20more`);
  }
});

served('without any key the console says what is missing', 'chromium', async (stage) => {
  const server = await stage.server(stage.keys().flags);
  const page = await stage.page(`http://127.0.0.1:${server.port}/peerjs.js`);
  const said = [];
  page.listen('console', (message) => said.push(message.text()));

  const error = await page.run(() => new Promise((done) => new Peer('x').on('error', ({ message }) => done(message))));

  assert.equal(error, 'Invalid key provided');
  assert.match(said.join('\n'), /no built-in key: load peerjs\.js\?key=…/);
});

served('an error of a request over HTTP says what failed, and where', 'chromium', async (stage) => {
  const server = await stage.server();
  const gone = await startServer();
  await gone.stop();
  for (const script of ['peerjs.js', 'peerjs.min.js']) {
    const page = await stage.page(`http://127.0.0.1:${server.port}/${script}`);
    const error = await page.run((port) => new Promise((done) => {
      new Peer({ port }).on('error', ({ type, message }) => done({ type, message }));
    }), gone.port);

    assert.equal(error.type, 'server-error');
    assert.match(error.message, /^Could not get an ID from the server\..* It was asked at http:\/\/127\.0\.0\.1:\d+\/$/);
    assert.ok(error.message.endsWith(`:${gone.port}/`), error.message);
  }
});

served('the page of a dev server without a proxy is no id', 'chromium', async (stage) => {
  const server = await stage.server();
  const site = await stage.keep('proxies', startBareVite());
  for (const script of ['peerjs.js', 'peerjs.min.js']) {
    const page = await stage.page(`http://127.0.0.1:${server.port}/${script}`);
    const error = await page.run((port) => new Promise((done) => {
      new Peer({ port }).on('error', ({ type, message }) => done({ type, message }));
    }), site.port);

    assert.equal(error.type, 'server-error');
    const [before, after] = error.message.split(/"<!doctype html>.*"/);
    assert.equal(before, `The answer of http://127.0.0.1:${site.port}/peerjs/id is a page, not an id: `);
    assert.equal(after, '. No broker is there: have the server pass / on, or pass the broker\'s host, port and path to Peer');
  }
});

served('the page may pass an id, options, or both, and what it passes wins', 'chromium', async (stage) => {
  const server = await stage.server(['--path', '/app']);
  const { port } = server;
  for (const script of ['peerjs.js', 'peerjs.min.js']) {
    const page = await stage.page(`http://127.0.0.1:${port}/app/${script}`);
    const seen = await page.run(() => {
      const options = (...args) => {
        const peer = new Peer(...args);
        const { host, port, path, key, secure, debug } = peer.options;
        peer.on('error', () => {});
        peer.destroy();
        return { host, port, path, key, secure, debug };
      };
      return [
        options(),
        options('alice'),
        options(undefined, { debug: 1 }),
        options(null, { debug: 1 }),
        options('alice', { debug: 1, key: 'other' }),
        options({ port: 7, secure: true }),
        options({ host: '127.0.0.1', path: 'elsewhere' }),
        options({ host: '/', key: 'mine' }),
        options({ host: 'other.test', path: '/theirs' }),
      ];
    });
    const here = { host: '127.0.0.1', port, path: '/app/', key: 'peerjs', secure: false, debug: 0 };
    assert.deepEqual(seen, [
      here,
      here,
      { ...here, debug: 1 },
      { ...here, debug: 1 },
      { ...here, debug: 1, key: 'other' },
      { ...here, port: 7, secure: true },
      { ...here, path: '/elsewhere/' },
      { ...here, key: 'mine' },
      // Another broker, with the defaults of PeerJS.
      { host: 'other.test', port: 443, path: '/theirs/', key: 'peerjs', secure: false, debug: 0 },
    ]);
    const id = `opened with ${script}`.replaceAll('.', ' ');
    assert.equal(await page.run(openedAs, id), id);
  }
});

served('the script exports what the published one does', 'chromium', async (stage) => {
  const server = await stage.server();
  const at = (name) => `http://127.0.0.1:${server.port}/${name}`;
  const exported = () => ({
    names: Object.keys(window.peerjs),
    same: window.Peer === window.peerjs.Peer,
    name: window.Peer.name,
    key: window.Peer.DEFAULT_KEY,
    methods: typeof window.Peer.prototype.listAllPeers,
    isPeer: new Peer({ host: 'other.test' }) instanceof peerjs.Peer,
  });
  const page = await stage.page(at('peerjs.js'));
  const preset = await page.run(exported);

  assert.deepEqual(preset, {
    names: ['Peer', 'util'], same: true, name: 'Peer', key: 'peerjs', methods: 'function', isPeer: true,
  });
  const module = await (await stage.page(at('peerjs.min.js'))).run(async (url) => {
    const before = window.Peer;
    const { default: standard, ...names } = await import(url);
    return { names: Object.keys(names).sort(), same: names.Peer === standard, untouched: window.Peer === before };
  }, at('peerjs.mjs'));
  assert.deepEqual(module, { names: ['Peer', 'util'], same: true, untouched: true });
});

served('the build without a preset is beside it, as npm/vendor/copy.mjs made it, with its integrity hash', 'chromium', async (stage) => {
  const server = await stage.server();
  const at = (name) => `http://127.0.0.1:${server.port}/${name}`;
  for (const script of ['peerjs.js', 'peerjs.min.js']) {
    const [, name, integrity] = (await text(at(script))).match(/beside it: (\S+), integrity (\S+) /);
    const published = readFileSync(new URL(`../../npm/vendor/dist/${script}`, import.meta.url), 'utf8');

    assert.equal(await text(at(name)), published);
    assert.equal(integrity, `sha384-${createHash('sha384').update(published).digest('base64')}`);
    const page = await stage.page(at(name), integrity);
    assert.equal(await page.run(() => new Peer('x', { host: 'a.test' }).options.host), 'a.test');
    const { host } = await page.run(() => new Peer('x').options);
    assert.equal(host, '0.peerjs.com');
  }
});

served('a page may load the script in its own way, and is told if it cannot work', 'chromium', async (stage) => {
  const server = await stage.server();
  const page = await stage.page(`http://127.0.0.1:${server.port}/peerjs.js`);
  const said = [];
  page.listen('console', (message) => said.push(message.text()));

  const late = await page.run((url) => new Promise((done) => {
    const script = document.createElement('script');
    script.src = url;
    script.onload = () => done(new Peer('x').options.port);
    document.head.append(script);
  }), `http://127.0.0.1:${server.port}/peerjs.min.js`);
  const evaluated = await page.run(async (url) => {
    (0, eval)(await (await fetch(url)).text());
    return new Peer('x', { host: 'a.test' }).options.host;
  }, `http://127.0.0.1:${server.port}/peerjs.js`);

  assert.deepEqual([late, evaluated], [server.port, 'a.test']);
  assert.match(said.join('\n'), /peerjs\.js cannot tell its own address: load it with <script src>/);
});

/** Names that Chrome 83, Firefox 80 or Safari 15.0 does not have: PeerJS 1.5.5 works there. */
const LATER = ['at', 'hasOwn', 'replaceAll', 'structuredClone', 'findLast', 'findLastIndex', 'toSorted', 'toReversed', 'toSpliced',
  'groupBy', 'withResolvers', 'isWellFormed', 'fromAsync', 'randomUUID', 'throwIfAborted', 'replaceChildren', 'WeakRef', 'FinalizationRegistry'];

test('the scripts have no syntax and name nothing that is later than PeerJS’s oldest browsers', { timeout: LIMIT }, async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  for (const name of [...SCRIPTS, 'rooms.js', 'rooms.mjs', 'share.js', 'webrtc.js', 'webrtc.mjs']) {
    const script = await text(`http://127.0.0.1:${server.port}/${name}`);
    const tree = parse(script, { ecmaVersion: 2020, sourceType: name.endsWith('.mjs') ? 'module' : 'script' });
    assert.deepEqual([...namesIn(tree)].filter((known) => LATER.includes(known)), [], name);
    // Safari cannot look behind in a regular expression.
    assert.doesNotMatch(script, /\(\?<[=!]|AbortSignal\.timeout/, name);
  }
});

/** The names of all that a script calls. */
function* namesIn(node) {
  if (!node || typeof node !== 'object') return;
  const { name = '', property } = node.callee ?? {};
  // Shorter ones are of the bundler.
  yield property?.name ?? (name.length > 3 && name);
  for (const part of Object.values(node)) yield* namesIn(part);
}

served('they work where those names are missing', 'chromium', async (stage) => {
  const server = await stage.server();
  stage.prelude = `<script>(${withoutLater})(${JSON.stringify([...LATER, 'timeout'])});</script>`;
  for (const script of SCRIPTS) await stage.connects(`http://127.0.0.1:${server.port}/${script}`);
  const page = await stage.page(`http://127.0.0.1:${server.port}/rooms.js`);
  assert.equal(await page.run(async (url) => {
    const { Peer } = await import(url);
    const room = await window.joinRoom(new Peer('anna'), 'lobby');
    return [...room.members.keys()].join();
  }, `http://127.0.0.1:${server.port}/peerjs.mjs`), 'anna');
});

/** Runs in a page. Elements of the browser's own pages keep theirs. */
function withoutLater(names) {
  const places = [window, Object, Object.prototype, Array, Array.prototype, String.prototype, Promise, AbortSignal, Crypto.prototype];
  for (const place of places) for (const name of names) delete place[name];
}

served('tokens, and the ids of connections, are no numbers of Math.random()', 'chromium', async (stage) => {
  const server = await stage.server();
  for (const script of SCRIPTS) {
    const page = await stage.page(`http://127.0.0.1:${server.port}/${script}`);
    const made = await page.run(async () => {
      await window.loaded;
      Math.random = () => 0.5;
      return ['a', 'b'].flatMap((id) => {
        const peer = new Peer(id);
        return [peer.options.token, peer.connect('c').connectionId];
      });
    });
    assert.equal(new Set(made).size, 4, `${script}: ${made}`);
    for (const one of made) assert.match(one, /^(dc_)?[0-9a-f]{32}$/);
  }
});

function served(behaviour, browser, run) {
  testOn(behaviour, () => new ServedStage(browser), run);
}

class ServedStage extends Stage {
  /** HTML before the script of a page. */
  prelude = '';

  constructor(browser) {
    super();
    this.browser = browser;
  }

  /** A page of another origin with this script. */
  async page(script, integrity) {
    const site = await this.keep('sites', startSite(this.prelude + pageWith(script, integrity)));
    return this.keep('pages', Page.load(this.browser, site.url));
  }

  /** Two pages that say `new Peer()` connect and talk. */
  async connects(script) {
    const [alice, bob] = [await this.page(script), await this.page(script)];
    const id = await bob.run(openedAs);
    await bob.run(() => {
      window.peer.on('connection', (line) => line.on('data', (data) => line.send(`${data}, and back`)));
    });
    assert.match(id, /^[0-9a-f-]{36}$/);
    await alice.run(openedAs);
    const answer = await alice.run((to) => new Promise((done) => {
      const line = window.peer.connect(to);
      line.on('open', () => line.send('there'));
      line.on('data', done);
    }), id);
    assert.equal(answer, 'there, and back', script);
  }
}

/** `new Peer()`, or with an id; resolves with the id that the broker gave it. */
async function openedAs(id) {
  await window.loaded;
  window.peer = id ? new Peer(id) : new Peer();
  return new Promise((done, failed) => {
    window.peer.on('open', done);
    window.peer.on('error', failed);
  });
}

function pageWith(script, integrity) {
  const check = integrity ? `integrity="${integrity}" crossorigin="anonymous"` : '';
  const load = /\.mjs(\?|$)/.test(script)
    ? `<script>window.loaded = import('${script}').then((module) => { window.Peer = module.Peer; });</script>`
    : `<script src="${script}" ${check}></script>`;
  return `<!doctype html><meta charset="utf-8"><title>served</title><link rel="icon" href="data:,">${load}`;
}

/** Speaks TLS, and forwards what is below a path to the root of a server. */
function startTlsProxy({ port }, path) {
  const { key, cert } = selfSigned();
  const inside = (url) => url.slice(path.length);
  const proxy = https.createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
    const { method, url, headers } = request;
    forward(request, response, http.request({ port, host: '127.0.0.1', method, path: inside(url), headers }));
  });
  proxy.on('upgrade', (request, client) => {
    const upstream = net.connect(port, '127.0.0.1');
    request.url = inside(request.url);
    upstream.write(headOf(request));
    bridge(client, upstream);
  });
  return listen(proxy);
}

const text = async (url) => (await within(url, fetch(url))).text();
