// Measures the close codes that browsers send when a page goes away: docs/PROTOCOL.md has them. `npm run close-codes`.
// WebKit takes part if Debian's webkit2gtk-driver and xvfb are installed.

import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import http from 'node:http';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { WebSocketServer } from 'ws';
import { launchChromium } from './lib/chromium.mjs';
import { START, launchFirefox } from './lib/firefox.mjs';
import { Run, killAll } from './lib/run.mjs';
import { freePort } from './lib/shipped-proxy.mjs';
import { within } from './lib/within.mjs';

/** Time in which a code must come. Without one, the connection counts as open. */
const NOTICE = 5_000;

const page = `<!doctype html>
<meta charset="utf-8">
<link rel="icon" href="data:,">
<script>
  addEventListener('pageshow', ({ persisted }) => { window.persisted = persisted; });
  const open = () => new Promise((done) => {
    window.socket = new WebSocket(location.origin.replace('http', 'ws'));
    socket.onopen = () => done();
  });
  /** A data connection within the page, as it keeps pages of PeerJS out of the cache. */
  const call = () => new Promise((done) => {
    if (!window.RTCPeerConnection) return done();
    const [one, other] = window.ends = [new RTCPeerConnection(), new RTCPeerConnection()];
    one.onicecandidate = ({ candidate }) => other.addIceCandidate(candidate);
    other.onicecandidate = ({ candidate }) => one.addIceCandidate(candidate);
    one.createDataChannel('').onopen = () => done();
    one.setLocalDescription()
      .then(() => other.setRemoteDescription(one.localDescription))
      .then(() => other.setLocalDescription())
      .then(() => one.setRemoteDescription(other.localDescription));
  });
</script>`;

const server = http.createServer((_, response) => {
  response.setHeader('Content-Type', 'text/html; charset=utf-8');
  response.end(page);
}).listen(0, '127.0.0.1');
await once(server, 'listening');
const sockets = new WebSocketServer({ server });
const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
const here = `http://127.0.0.1:${port}/`;
// Another site for the browser.
const elsewhere = `http://localhost:${port}/`;

/** Opens a WebSocket in a page, and a data connection if it is to have one; resolves with the server's end of the WebSocket. */
async function connect(tab, withCall = true) {
  if (withCall) await within('a data connection', tab.run('call()'));
  const connected = once(sockets, 'connection');
  await tab.run('open()');
  const [socket] = await within('a WebSocket', connected);
  return socket;
}

/** The close code that the server sees; 1005 is a close frame without a code, 1006 the end of TCP without a close frame. */
async function codeOf(socket, act) {
  const closed = once(socket, 'close').then(([code]) => String(code));
  await act();
  return within('', closed, NOTICE).catch(() => 'stays open');
}

/** The measured ends: each gets a page of its own at `here`, with a data connection. */
const ENDS = {
  'the tab is closed': (tab) => tab.close(),
  'to another page of the site': (tab) => tab.go(`${here}other`),
  'to a page of another site': (tab) => tab.go(elsewhere),
  'the page is reloaded': (tab) => tab.reload(),
  'another tab is in front': (tab) => tab.cover(),
  'the page is frozen, as after a switch to another app': (tab) => tab.freeze?.(),
  '`close()`, as in `peer.disconnect()`': (tab) => tab.run('socket.close()'),
  'the browser is quit': (_, browser) => browser.quit(),
  'the browser is killed': (_, browser) => browser.kill(),
};

/** Away and back: true with a data connection. */
const WAYS_BACK = { 'away and back': true, 'the same, without a data connection': false };

const results = {};

function measure(name, launch) {
  test(name, { timeout: 240_000 }, async () => {
    const codes = results[name] = {};
    for (const [end, act] of Object.entries(ENDS)) {
      const browser = await within(`${name} to start`, launch(), START);
      try {
        const tab = await browser.open(here);
        if (end.includes('frozen') && !tab.freeze) {
          codes[end] = 'not measured';
          continue;
        }
        codes[end] = await codeOf(await connect(tab), () => act(tab, browser));
      } finally {
        await browser.quit().catch(() => {});
      }
    }
    for (const [way, withCall] of Object.entries(WAYS_BACK)) {
      const browser = await within(`${name} to start`, launch(), START);
      try {
        const tab = await browser.open(here);
        const code = await codeOf(await connect(tab, withCall), () => tab.go(elsewhere));
        await tab.back();
        const state = await tab.run('persisted ? ["closing", "closed"][socket.readyState - 2] ?? "open" : ""');
        codes[way] = `${code}; ${state ? `from the cache, socket ${state}` : 'loaded anew'}`;
      } finally {
        await browser.quit().catch(() => {});
      }
    }
    assert.equal(codes['the tab is closed'], '1001');
  });
}

/** A page of playwright or puppeteer. */
const driven = (tab) => ({
  run: (script) => tab.evaluate(script),
  go: (url) => tab.goto(url),
  reload: () => tab.reload(),
  // A page of the cache is not loaded.
  back: () => tab.goBack({ waitUntil: 'commit' }),
});

async function chromium() {
  // Playwright turns the cache of pages off by default.
  const browser = await launchChromium({}, { ignoreDefaultArgs: ['--disable-back-forward-cache'] });
  const context = await browser.newContext();
  const control = await browser.newBrowserCDPSession();
  return {
    async open(url) {
      const tab = await context.newPage();
      await tab.goto(url);
      return {
        ...driven(tab),
        // As a person does, with the handlers of the page.
        close: () => tab.close({ runBeforeUnload: true }),
        cover: async () => (await context.newPage()).bringToFront(),
        freeze: async () => (await context.newCDPSession(tab)).send('Page.setWebLifecycleState', { state: 'frozen' }),
      };
    },
    quit: () => browser.close(),
    async kill() {
      const { processInfo } = await control.send('SystemInfo.getProcessInfo');
      for (const { id } of processInfo) process.kill(id, 'SIGKILL');
    },
  };
}

async function firefox() {
  const browser = await launchFirefox({ 'media.peerconnection.ice.loopback': true }, {});
  return {
    async open(url) {
      const tab = await browser.newPage();
      await tab.goto(url);
      return {
        ...driven(tab),
        close: () => tab.close({ runBeforeUnload: true }),
        cover: async () => (await browser.newPage()).bringToFront(),
      };
    },
    quit: () => browser.close(),
    kill: () => browser.process().kill('SIGKILL'),
  };
}

const MINI_BROWSERS = '/usr/lib/x86_64-linux-gnu';
const miniBrowser = existsSync(MINI_BROWSERS) && readdirSync(MINI_BROWSERS)
  .map((name) => `${MINI_BROWSERS}/${name}/MiniBrowser`).find((path) => existsSync(path));
const hasWebkit = existsSync('/usr/bin/WebKitWebDriver') && miniBrowser && existsSync('/usr/bin/Xvfb');

/** WebKitGTK by WebDriver (W3C), on a screen that nobody sees. */
async function webkit() {
  const at = `http://127.0.0.1:${await freePort()}`;
  const screen = new Run('/usr/bin/Xvfb', ['-displayfd', '1', '-nolisten', 'tcp'], { cwd: '/', env: process.env });
  const [display] = await screen.line(/^\d+$/);
  const driver = new Run('/usr/bin/WebKitWebDriver', ['--host=127.0.0.1', `--port=${new URL(at).port}`], {
    cwd: '/',
    env: { ...process.env, DISPLAY: `:${display}`, WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1' },
  });
  const ask = async (method, path, body = undefined) => {
    const answer = await fetch(`${at}${path}`, { method, body: body && JSON.stringify(body) });
    const { value } = /** @type {any} */ (await answer.json());
    if (!answer.ok) throw new Error(`${method} ${path}: ${JSON.stringify(value)}`);
    return value;
  };
  await within('the driver of WebKit', untilAnswers(() => ask('GET', '/status')), START);
  const options = { binary: miniBrowser, args: ['--automation'] };
  const { sessionId } = await ask('POST', '/session', { capabilities: { alwaysMatch: { 'webkitgtk:browserOptions': options } } });
  const session = `/session/${sessionId}`;
  const post = (path, body = {}) => ask('POST', `${session}/${path}`, body);
  return {
    async open(url) {
      await post('url', { url });
      const script = (text) => post('execute/async', { script: `const done = arguments[0]; Promise.resolve(${text}).then((v) => done(v ?? null))`, args: [] });
      return {
        run: script,
        go: (to) => post('url', { url: to }),
        reload: () => post('refresh'),
        back: () => post('back'),
        cover: async () => post('window', await post('window/new', { type: 'tab' })),
        async close() {
          const own = await ask('GET', `${session}/window`);
          // With its last tab the browser would end.
          await post('window/new', { type: 'tab' });
          await post('window', { handle: own });
          await ask('DELETE', `${session}/window`);
        },
      };
    },
    async quit() {
      await ask('DELETE', session).catch(() => {});
      driver.kill();
      screen.kill();
    },
    kill: () => driver.kill(),
  };
}

async function untilAnswers(act) {
  for (;;) {
    try {
      return await act();
    } catch {
      await new Promise((next) => setTimeout(next, 50));
    }
  }
}

measure('Chromium', chromium);
measure('Firefox', firefox);
if (hasWebkit) measure('WebKitGTK', webkit);

after(() => {
  killAll();
  sockets.clients.forEach((socket) => socket.terminate());
  server.close();
  const names = Object.keys(results);
  const rows = [...Object.keys(ENDS), ...Object.keys(WAYS_BACK)].map((end) => [end, ...names.map((name) => results[name][end] ?? '–')]);
  const table = [['', ...names], ['', ...names].map(() => '---'), ...rows];
  console.log(table.map((row) => `| ${row.join(' | ')} |`).join('\n'));
});
