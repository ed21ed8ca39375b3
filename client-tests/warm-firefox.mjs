// Starts Firefox once, and keeps its profile. It holds the browser's own scripts, compiled, so later starts in copies of it take half
// as long.

import { existsSync, mkdirSync, mkdtempSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import puppeteer from 'puppeteer-core';
import { FIREFOX, START, WARM_PROFILE } from './lib/firefox.mjs';

if (!existsSync(WARM_PROFILE)) {
  mkdirSync(dirname(WARM_PROFILE), { recursive: true });
  const profile = mkdtempSync(`${WARM_PROFILE}-`);
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: FIREFOX,
    headless: true,
    timeout: 2 * START,
    userDataDir: profile,
  });
  await browser.newPage();
  await browser.close();
  renameSync(profile, WARM_PROFILE);
}
