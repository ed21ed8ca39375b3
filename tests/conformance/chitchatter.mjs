// Chitchatter, which finds its peers by a tracker that its build names: its own tests of rooms.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHROMIUM, HEADLESS, UNWANTED, quiet } from '../../client-tests/lib/chromium.mjs';
import { startServer } from '../../client-tests/lib/server.mjs';
import { freePort } from '../../client-tests/lib/shipped-proxy.mjs';
import { built, playwright, summary } from './repositories.mjs';
import { need } from './programs.mjs';

const COMMIT = 'a378d3f1709e2f8e908324553617338ad1d94ddd';

/** Otherwise their first test waits while Vite does what it does once. */
const STEPS = [['ci', '--ignore-scripts'], ['exec', '--', 'vite', 'optimize']];

/** Their configuration, with the browser of this machine, and their site with this tracker in place of theirs. */
const configuration = (site, tracker) => `
import theirs from './playwright.config.ts';
export default {
  ...theirs,
  reporter: [['list'], ['json']],
  use: { ...theirs.use, baseURL: 'http://localhost:${site}', video: 'off', trace: 'off' },
  projects: theirs.projects.map((project) => ({ ...project, use: { ...project.use, launchOptions: {
    executablePath: ${JSON.stringify(HEADLESS)},
    args: [...project.use.launchOptions.args, ...${JSON.stringify([...quiet, `--disable-features=${UNWANTED}`, '--allow-loopback-in-peer-connection'])}],
  } } })),
  webServer: {
    command: 'npx vite --port ${site} --strictPort --logLevel error',
    url: 'http://localhost:${site}',
    env: { VITE_HOMEPAGE: 'https://chitchatter.im/', IS_E2E_TEST: 'true', VITE_IS_E2E_TEST: 'true', VITE_TRACKER_URL: '${tracker}' },
  },
};
`;

export async function chitchatter() {
  need(CHROMIUM);
  const copy = await built('chitchatter', 'CHITCHATTER_SOURCE', `the repository jeremyckahn/chitchatter at ${COMMIT}`, STEPS, { packager: 'npm' });
  const server = await startServer(['--dialects', 'peerjs,tracker']);
  try {
    writeFileSync(join(copy.folder, 'peerbroker.config.ts'), configuration(await freePort(), `ws://127.0.0.1:${server.port}`));
    const results = await playwright(copy, 'chitchatter', ['-c', 'peerbroker.config.ts', 'room']);
    return `${results.length} tests in Chromium${summary(results, 'chitchatter')}`;
  } finally {
    await server.stop();
  }
}
