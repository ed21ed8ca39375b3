// FilePizza, whose pages name the host and the path of a broker only: its own tests, and a large file for three, directly and by the relay.

import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { CHROMIUM, HEADLESS, UNWANTED, launchChromium, quiet } from '../../client-tests/lib/chromium.mjs';
import { launchOn } from '../../client-tests/lib/network/browsers.mjs';
import { listensOn } from '../../client-tests/lib/network/programs.mjs';
import { startServer } from '../../client-tests/lib/server.mjs';
import { freePort, listens } from '../../client-tests/lib/shipped-proxy.mjs';
import { built, playwright, summary } from './pnpm.mjs';
import { need } from './programs.mjs';
import { below } from './tools.mjs';

const COMMIT = '60704b45e6e4ed0fbcc43931b759d0cb9536c146';
/** The port that PeerJS takes if a page names none. The scheme is that of the page. */
const PORT = 443;
const BROKER = 'broker.test';
const MEGABYTES = { direct: 200, relayed: 50 };
const DOWNLOADERS = 3;
/** In milliseconds, for a transfer. */
const PATIENCE = 240_000;

/** Their configuration, with the browser of this machine, which finds the site and the broker at ports of ours. */
const configuration = (site, broker) => `
import theirs from './playwright.config.ts';
export default {
  ...theirs,
  reporter: [['list'], ['json']],
  use: { ...theirs.use, launchOptions: {
    executablePath: ${JSON.stringify(HEADLESS)},
    args: ${JSON.stringify([
      ...quiet, `--disable-features=${UNWANTED}`, '--allow-loopback-in-peer-connection',
      `--host-resolver-rules=MAP localhost:3000 127.0.0.1:${site}, MAP ${BROKER}:${PORT} 127.0.0.1:${broker}`,
    ])},
  } },
  webServer: { ...theirs.webServer, url: 'http://127.0.0.1:${site}', reuseExistingServer: false },
};
`;

const environment = (port, broker) => ({ PORT: `${port}`, HOSTNAME: '0.0.0.0', PEERJS_HOST: broker, PEERJS_PATH: '/', REDIS_URL: '' });

/** Starts the site, on this machine or on another `machine`. */
function startSite({ folder, env }, port, broker, machine) {
  const words = [join(folder, '.next/standalone/server.js')];
  const [program, all] = machine?.command('node', ...words) ?? ['node', words];
  const child = spawn(program, all, { cwd: folder, env: { ...env, ...environment(port, broker) }, stdio: 'ignore' });
  const exited = once(child, 'exit');
  return {
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

async function hash(path) {
  const sum = createHash('sha256');
  await pipeline(createReadStream(path), sum);
  return sum.digest('hex');
}

async function makeFile(name, megabytes) {
  const path = below(name);
  await pipeline(async function* () {
    for (let n = 0; n < megabytes; n += 1) yield randomBytes(1 << 20);
  }, createWriteStream(path));
  return { name, path, sum: await hash(path) };
}

/** A page in one browser offers a file, and several in another one get it at once. */
async function transfer(site, megabytes, from, to) {
  const file = await makeFile('filepizza-large.bin', megabytes);
  const uploader = await from.newPage();
  await uploader.goto(site);
  await uploader.setInputFiles('input[type=file]', file.path);
  await uploader.click('#start-button');
  const address = await uploader.locator('#copyable-input-long-url').inputValue();
  await Promise.all(Array.from({ length: DOWNLOADERS }, async (_, n) => {
    const page = await to.newPage();
    page.setDefaultTimeout(PATIENCE);
    await page.goto(address);
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#download-button')]);
    await page.getByText('You downloaded').waitFor();
    const path = below(`downloaded-${n}-${file.name}`);
    await download.saveAs(path);
    if (await hash(path) !== file.sum) throw new Error(`${path} is not the file that was sent`);
  }));
}

async function theirTests(copy, broker) {
  const site = await freePort();
  writeFileSync(join(copy.folder, 'peerbroker.config.ts'), configuration(site, broker.port));
  const results = await playwright(copy, 'filepizza', ['-c', 'peerbroker.config.ts'], environment(site, BROKER));
  return `${results.length} tests in Chromium${summary(results, 'filepizza')}`;
}

async function large(copy, broker) {
  const port = await freePort();
  const site = startSite(copy, port, BROKER);
  const browser = await launchChromium({ [`${BROKER}:${PORT}`]: `127.0.0.1:${broker.port}` });
  try {
    await listens(port);
    await transfer(`http://localhost:${port}/`, MEGABYTES.direct, browser, browser);
    return `${MEGABYTES.direct} MB for ${DOWNLOADERS}`;
  } finally {
    await Promise.all([browser.close(), site.stop()]);
  }
}

/** On hosts without a path between them. Only root can make these. */
async function relayed(copy) {
  const { Network, noNetworks } = await import('../../client-tests/lib/network.mjs');
  if (noNetworks) return `nothing by the relay (${noNetworks})`;
  const network = Network.apart();
  const stops = [];
  try {
    const broker = await startServer(['--port', `${PORT}`, '--relay'], { network });
    stops.push(broker);
    const port = 3000;
    stops.push(startSite(copy, port, network.address, network.server));
    await listensOn(network.server, network.address, port);
    const origin = `http://${network.address}:${port}`;
    const browsers = await Promise.all(['a', 'b'].map((host) => launchOn(network[host], 'chromium', { origin })));
    stops.push(...browsers.map((browser) => ({ stop: () => browser.close() })));
    await transfer(origin, MEGABYTES.relayed, ...browsers);
    return `${MEGABYTES.relayed} MB for ${DOWNLOADERS} by the relay alone`;
  } finally {
    for (const one of stops.reverse()) await one.stop();
    network.stop();
  }
}

export async function filepizza() {
  need(CHROMIUM);
  const copy = await built('filepizza', 'FILEPIZZA_SOURCE', `the repository kern/filepizza at ${COMMIT}`, [['install', '--frozen-lockfile', '--ignore-scripts'], ['run', 'build']]);
  const broker = await startServer();
  try {
    return [await theirTests(copy, broker), await large(copy, broker), await relayed(copy)].join(', ');
  } finally {
    await broker.stop();
  }
}
