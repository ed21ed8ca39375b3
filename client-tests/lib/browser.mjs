// The browsers, each started when a file first asks for it and closed when the file is done.

import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { CHROMIUM, launchChromium } from './chromium.mjs';
import { START, launchFirefox } from './firefox.mjs';
import { useSmallCameras } from './video.mjs';
import { within } from './within.mjs';

const launchers = {
  chromium: () => startChromium(),
  // With windows, for notifications.
  'whole chromium': () => startChromium({ executablePath: CHROMIUM }),
  firefox: startFirefox,
};
/** Further preferences of Firefox, which a file sets before its first page. */
export const firefoxPreferences = {};
const running = new Map();
const idle = { chromium: [], 'whole chromium': [], firefox: [] };

/** A new blank page of the named browser; in its own context if one is given (Chromium only). */
export async function newPage(name, context) {
  if (!running.has(name)) running.set(name, launchers[name]());
  const browser = await within(`${name} to start`, running.get(name), START);
  return within(`a page of ${name}`, browser.newPage(context));
}

/** A blank page in the context that all borrowers share. */
export async function borrowPage(name) {
  return idle[name].pop() ?? newPage(name);
}

/** Ends everything in the page like closing it; a new page would cost three times as much. */
export async function returnPage(name, page) {
  try {
    await page.tellCalls?.();
    await within('a page to be blank', page.goto('about:blank'));
    idle[name].push(page);
  } catch {
    await within('a page to close', page.close());
  }
}

after(async () => {
  for (const [name, starting] of running) {
    const browser = await starting.catch(() => undefined);
    await within(`${name} to close`, browser?.close());
  }
});

async function startChromium(options = {}) {
  // Another name for this machine that is not a secure context, as on a LAN.
  const browser = await launchChromium({ 'lan.test': '127.0.0.1' }, options);
  const newContext = async (options) => {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
    await context.addInitScript(useSmallCameras);
    return context;
  };
  const shared = await newContext();
  return {
    // Not `browser.newPage`, whose pages end with their context: without windows, Chromium does not tell them before.
    newPage: async (context) => covered(await (context ? await newContext(context) : shared).newPage()),
    close: () => browser.close(),
  };
}

/** For coverage.mjs: tells what the page has called when it is closed or blank, after which the browser forgets it. */
async function covered(page) {
  const folder = process.env.NODE_V8_COVERAGE;
  if (!folder) return page;
  await page.coverage.startJSCoverage({ resetOnNavigation: false });
  const close = page.close.bind(page);
  page.tellCalls = async () => {
    const result = await page.coverage.stopJSCoverage();
    writeFileSync(join(folder, `${randomUUID()}.json`), JSON.stringify({ result }));
    await page.coverage.startJSCoverage({ resetOnNavigation: false });
  };
  page.close = () => page.tellCalls().catch(() => {}).then(close);
  return page;
}

function startFirefox() {
  return launchFirefox(
    {
      'media.peerconnection.ice.loopback': true,
      'media.peerconnection.ice.obfuscate_host_addresses': false,
      // Otherwise, clocks of pages tell whole milliseconds.
      'privacy.reduceTimerPrecision': false,
      ...firefoxPreferences,
    },
    { acceptInsecureCerts: true },
  );
}
