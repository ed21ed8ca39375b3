// reveal-peerjs, whose pages name no broker: 0.peerjs.com leads to this one. Its own tests, and a hub that leaves.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHROMIUM, HEADLESS, UNWANTED, quiet } from '../../client-tests/lib/chromium.mjs';
import { startConnectProxy } from '../../client-tests/lib/connect-proxy.mjs';
import { FIREFOX } from '../../client-tests/lib/firefox.mjs';
import { startServer } from '../../client-tests/lib/server.mjs';
import { freePort } from '../../client-tests/lib/shipped-proxy.mjs';
import { built, playwright, summary } from './repositories.mjs';
import { need } from './programs.mjs';

const COMMIT = '019ce7aedceb1d803ac95d865fe536eba64f546e';
/** Where PeerJS finds a broker if its page names none. */
const CLOUD = '0.peerjs.com';

/** Their configuration, with the browsers of this machine, of which Firefox is driven by WebDriver BiDi. */
const configuration = (port, broker, proxy) => `
import theirs from './playwright.config.js';
const browser = (name, use) => {
  const project = theirs.projects.find((one) => one.name === name);
  return { ...project, use: { ...project.use, ...use } };
};
export default {
  ...theirs,
  retries: 0,
  reporter: [['list'], ['json']],
  use: { ...theirs.use, baseURL: 'http://localhost:${port}', ignoreHTTPSErrors: true, video: 'off', trace: 'off' },
  projects: [
    browser('chromium', { launchOptions: {
      executablePath: ${JSON.stringify(HEADLESS)},
      args: ${JSON.stringify([...quiet, `--disable-features=${UNWANTED}`, '--allow-loopback-in-peer-connection', `--host-resolver-rules=MAP ${CLOUD}:443 127.0.0.1:${broker}`])},
    } }),
    browser('firefox', { channel: 'moz-firefox', launchOptions: {
      executablePath: ${JSON.stringify(FIREFOX)},
      firefoxUserPrefs: ${JSON.stringify({
        'media.peerconnection.ice.loopback': true, 'media.peerconnection.ice.obfuscate_host_addresses': false,
        'network.proxy.type': 1, 'network.proxy.ssl': '127.0.0.1', 'network.proxy.ssl_port': proxy,
      })},
    } }),
  ],
  webServer: { ...theirs.webServer, url: 'http://localhost:${port}', env: { PORT: '${port}' } },
};
`;

/** A test of ours, with what theirs look at. */
const HUB_LEAVES = `
import { test, expect } from '@playwright/test';

test('a hub leaves, and the next visitor is the hub', async ({ browser }) => {
  const url = '/example/?multiplayer=leaves-' + Math.random();
  const open = async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(url);
    return { context, hub: page.locator('#rpjs-btn-hub'), lobby: page.locator('#rpjs-btn-lobby'), users: page.locator('.rpjs-user-item') };
  };
  const first = await open();
  await expect(first.hub).toBeVisible({ timeout: 30_000 });
  await first.context.close();
  const next = await open();
  await expect(next.hub).toBeVisible({ timeout: 30_000 });
  const visitor = await open();
  for (const page of [next, visitor]) {
    await page.lobby.click();
    await expect(page.users).toHaveCount(2, { timeout: 30_000 });
  }
  await expect(visitor.hub).not.toBeVisible();
});
`;

export async function reveal() {
  need(CHROMIUM, FIREFOX);
  const copy = await built('reveal', 'REVEAL_SOURCE', `the repository fkr-0/reveal-peerjs-plugin at ${COMMIT}`, [['install', '--frozen-lockfile', '--ignore-scripts']]);
  const server = await startServer([], { tls: true });
  const proxy = await startConnectProxy(server, `${CLOUD}:443`);
  try {
    writeFileSync(join(copy.folder, 'peerbroker.config.js'), configuration(await freePort(), server.port, proxy.port));
    writeFileSync(join(copy.folder, 'e2e/peerbroker.spec.js'), HUB_LEAVES);
    const results = await playwright(copy, 'reveal', ['-c', 'peerbroker.config.js', 'multiplayer', 'peerbroker'], { RPJS_LIVE_PEERJS: '1' });
    const repeated = summary(results, 'reveal');
    return `${results.length} tests in Chromium and Firefox${repeated}`;
  } finally {
    await Promise.all([proxy.stop(), server.stop()]);
  }
}
