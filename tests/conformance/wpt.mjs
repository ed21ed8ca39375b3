// The tests of data channels of web-platform-tests, against the stand-in for WebRTC: Chromium without its own, webrtc.js and the broker.

import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHROMIUM, launchChromium } from '../../client-tests/lib/chromium.mjs';
import { withoutWebRtc } from '../../client-tests/lib/pipe-pages.mjs';
import { startServer } from '../../client-tests/lib/server.mjs';
import { within } from '../../client-tests/lib/within.mjs';
import { need } from './programs.mjs';
import { Skipped, below } from './tools.mjs';

const COMMIT = '0d4f5079526492412a427152fcc1d08958bdf952';

const MEDIA = 'sound and pictures need WebRTC';
const TWICE = 'the test makes two channels with the id 10; Chromium fails, too';
const ROLE = 'the offer numbers channels: there is no DTLS whose role an edited answer changes';

/** The number of tests of each file, and which of them cannot pass, with the reason. All others pass. */
const EXPECTED = {
  'RTCDataChannel-GC.html': { tests: 2 },
  'RTCDataChannel-binaryType.window.js': { tests: 10 },
  'RTCDataChannel-bufferedAmount.html': { tests: 30 },
  'RTCDataChannel-close.html': {
    tests: 12,
    cannot: { 'Close peerconnection causes close event and error on many channels, negotiated datachannel': TWICE },
  },
  'RTCDataChannel-iceRestart.html': { tests: 2 },
  'RTCDataChannel-id.html': { tests: 4, cannot: { 'DTLS server uses even data channel IDs': ROLE } },
  'RTCDataChannel-send-blob-order.html': { tests: 2 },
  'RTCDataChannel-send-close.html': { tests: 6 },
  'RTCDataChannel-send.html': { tests: 23 },
  'RTCDataChannelEvent-constructor.html': { tests: 4 },
  'RTCPeerConnection-createDataChannel.html': {
    tests: 52,
    cannot: {
      'addTrack, then creating datachannel, should negotiate properly': MEDIA,
      'addTrack, then creating datachannel, should negotiate properly when max-bundle is used': MEDIA,
      'Renegotiation with audio/video and datachannel should work properly': MEDIA,
      'addTrack, then creating negotiated datachannel, should negotiate properly': MEDIA,
      'addTrack, then creating negotiated datachannel, should negotiate properly when max-bundle is used': MEDIA,
      'Renegotiation with audio/video and negotiated datachannel should work properly': MEDIA,
    },
  },
  'RTCPeerConnection-ondatachannel.html': { tests: 8 },
};

/** Files that the tests load, but for their own report. */
const SCRIPTS = ['resources/testharness.js', 'common/gc.js', 'webrtc/RTCPeerConnection-helper.js'];

/** In the place of web-platform-tests' own file, as it says: it has the results, and lets the test collect garbage. */
const REPORT = `
  window.TestUtils = { gc: () => window.collectGarbage() };
  window.results = new Promise((done) => add_completion_callback((tests, { status, message }) => done({
    isComplete: status === 0,
    message,
    tests: tests.map(({ name, status, message }) => ({ name, isPassed: status === 0, message })),
  })));
`;

/** In milliseconds. The tests have a bound of a minute themselves. */
const PATIENCE = 90_000;

const STAND_IN = '<script src="/webrtc.js"></script>';

const pageOf = (file) => file.replace(/\.js$/, '.html');

/** Copies the tests to a folder that the broker serves, with webrtc.js in front. Resolves with its path and the names of the tests. */
function prepare() {
  const source = process.env.WPT_SOURCE ?? below('wpt');
  if (!existsSync(source)) throw new Skipped(`there is no ${source}: set WPT_SOURCE to a copy of the repository of web-platform-tests at ${COMMIT}`);
  const folder = below('wpt-pages');
  rmSync(folder, { recursive: true, force: true });
  for (const name of ['resources', 'common', 'webrtc']) mkdirSync(join(folder, name), { recursive: true });
  for (const script of SCRIPTS) cpSync(join(source, script), join(folder, script));
  writeFileSync(join(folder, 'resources/testharnessreport.js'), REPORT);

  const files = readdirSync(join(source, 'webrtc')).filter((file) => file in EXPECTED || /^RTCDataChannel.*\.(html|window\.js)$/.test(file));
  for (const file of files) {
    const text = readFileSync(join(source, 'webrtc', file), 'utf8');
    writeFileSync(join(folder, 'webrtc', file), text);
    writeFileSync(join(folder, 'webrtc', pageOf(file)), file.endsWith('.js') ? wrap(file) : withStandIn(file, text));
  }
  return { folder, files };
}

/** The page that web-platform-tests' server makes of a script. */
const wrap = (file) => `<!doctype html><meta charset="utf-8">${STAND_IN}
<script src="/resources/testharness.js"></script><script src="/resources/testharnessreport.js"></script><script src="${file}"></script>`;

function withStandIn(file, text) {
  const page = text.replace(/<!doctype html>/i, (found) => found + STAND_IN);
  if (page === text) throw new Error(`${file} does not begin as a page`);
  return page;
}

/** Runs the tests of a file. Resolves with what is not as expected. */
async function judge(context, url, file) {
  const { tests, cannot = {} } = EXPECTED[file] ?? { tests: 0 };
  const page = await context.newPage();
  try {
    await page.goto(url);
    const results = await within(`the tests of ${file}`, page.evaluate(() => window.results), PATIENCE);
    const wrong = results.tests.filter(({ name, isPassed }) => isPassed === (name in cannot));
    const missing = Object.keys(cannot).filter((known) => !results.tests.some(({ name }) => name === known));
    return [
      ...results.isComplete ? [] : [`${file}: ${results.message ?? 'the tests took too long'}`],
      ...results.tests.length === tests ? [] : [`${file} has ${results.tests.length} tests, not ${tests}`],
      ...wrong.map(({ name, isPassed, message }) => `${file}: ${name}: ${isPassed ? 'passes now' : message}`),
      ...missing.map((name) => `${file} has no test "${name}"`),
    ];
  } finally {
    await page.close();
  }
}

export async function wpt() {
  need(CHROMIUM);
  const { folder, files } = prepare();
  const server = await startServer(['--static_dir', folder]);
  const chromium = await launchChromium();
  try {
    const context = await chromium.newContext();
    await context.addInitScript(withoutWebRtc);
    await context.exposeBinding('collectGarbage', ({ page }) => page.requestGC());
    const wrong = Object.keys(EXPECTED).filter((file) => !files.includes(file)).map((file) => `there is no ${file}`);
    for (const file of files) wrong.push(...await judge(context, `http://127.0.0.1:${server.port}/webrtc/${pageOf(file)}`, file));
    if (wrong.length > 0) {
      writeFileSync(below('wpt.log'), wrong.map((line) => `${line}\n`).join(''));
      throw new Error(`${wrong.length} differences: ${wrong[0]}. See ${below('wpt.log')}`);
    }
  } finally {
    await Promise.all([chromium.close(), server.stop()]);
  }
  const all = Object.values(EXPECTED).reduce((sum, { tests }) => sum + tests, 0);
  const impossible = Object.values(EXPECTED).reduce((sum, { cannot = {} }) => sum + Object.keys(cannot).length, 0);
  return `${all - impossible} of ${all} tests of data channels, the others as expected`;
}
