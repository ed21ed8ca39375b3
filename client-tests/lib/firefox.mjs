// Firefox in tests.

import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';

export const FIREFOX = process.env.FIREFOX_BIN ?? '/usr/bin/firefox-esr';

/** A busy machine takes half a minute for a cold start. */
export const START = 45_000;

/** Firefox has started in this profile once: see warm-firefox.mjs. */
export const WARM_PROFILE = join(import.meta.dirname, '../node_modules/.cache/firefox-profile');

/** Preferences for a made-up camera, without prompts. */
const fakeMedia = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
};

/** A profile in a folder of its own, warm where there is one: a start in it takes half as long. */
export function makeProfile() {
  const folder = mkdtempSync(join(tmpdir(), 'peerbroker-firefox-'));
  if (existsSync(WARM_PROFILE)) cpSync(WARM_PROFILE, folder, { recursive: true });
  return folder;
}

/**
 * Starts Firefox, with puppeteer's options and further preferences. Its profile is removed when it closes.
 * @param {Record<string, boolean | number | string>} preferences
 */
export async function launchFirefox(preferences, { profile = makeProfile(), ...options }) {
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: FIREFOX,
    headless: true,
    timeout: START,
    userDataDir: profile,
    extraPrefsFirefox: { ...fakeMedia, ...preferences },
    ...options,
  });
  const exited = once(browser.process(), 'exit');
  return {
    // One window per page: a background tab gets no video frames.
    newPage: () => browser.newPage({ type: 'window' }),
    process: () => browser.process(),
    async close() {
      await browser.close();
      // After five seconds, puppeteer does not wait for the end of a process that writes to its profile.
      await exited;
      rmSync(profile, { recursive: true, force: true });
    },
  };
}
