import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

/** The whole browser, as users have it: tests in networks need its ways of finding addresses. */
export const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';

// The same engine without windows, at half of the CPU. Not every distribution has a package of it.
const SHELL = '/usr/bin/chromium-headless-shell';
export const HEADLESS = process.env.CHROMIUM_BIN ?? (existsSync(SHELL) ? SHELL : CHROMIUM);

export const UNWANTED = [
  // Plain host candidates: nothing resolves *.local here, and loopback may be the only interface.
  'WebRtcHideLocalIpsWithMdns',
  // Turns off two processes for the address bar of each window and a spare one for each context: they
  // are half of the cost of a page.
  'WebUIOmniboxPopup',
  'WebUIOmniboxAimPopup',
  'SpareRendererForSitePerProcess',
];

/** Flags of every Chromium in tests: no sandbox, no screen, a made-up camera, and no traffic of its own. */
export const quiet = [
  '--no-sandbox',
  '--disable-gpu',
  // Every frame is encoded in software for each member of a call; at 20 in a second, calls of three starve two cores.
  '--use-fake-device-for-media-stream=fps=5',
  '--use-fake-ui-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
  '--disable-quic',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

/**
 * Starts Chromium with playwright's further options. `names` maps host names, or hosts with ports, to addresses of this machine.
 * @param {Record<string, string>} names
 * @param {import('playwright-core').LaunchOptions} options
 */
export function launchChromium(names = {}, { args = [], ...options } = {}) {
  const ours = Object.entries(names).map(([name, target]) => `MAP ${name} ${target}, `);
  return chromium.launch({
    executablePath: HEADLESS,
    ...options,
    args: [
      ...quiet,
      `--disable-features=${UNWANTED.join()}`,
      '--allow-loopback-in-peer-connection',
      // Nothing leaves the machine.
      `--host-resolver-rules=${ours.join('')}MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1`,
      ...args,
    ],
  });
}
