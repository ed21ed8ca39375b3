// FilePizza, whose pages name the host and the path of a broker only: its own tests, and a large file for three, directly and by the relay.

import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { CHROMIUM, HEADLESS, UNWANTED, launchChromium, quiet } from '../../client-tests/lib/chromium.mjs';
import { launchOn } from '../../client-tests/lib/network/browsers.mjs';
import { listensOn } from '../../client-tests/lib/network/programs.mjs';
import { startServer } from '../../client-tests/lib/server.mjs';
import { freePort, listens } from '../../client-tests/lib/shipped-proxy.mjs';
import { built, playwright, summary } from './repositories.mjs';
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

const environment = (port, broker, address = '127.0.0.1') => ({ PORT: `${port}`, HOSTNAME: address, PEERJS_HOST: broker, PEERJS_PATH: '/', REDIS_URL: '' });

/** Starts the site, on this machine or on that of a network. */
function startSite({ folder, env }, port, broker, network) {
  const words = [join(folder, '.next/standalone/server.js')];
  const [program, all] = network?.server.command('node', ...words) ?? ['node', words];
  const child = spawn(program, all, { cwd: folder, env: { ...env, ...environment(port, broker, network?.address) }, stdio: 'ignore' });
  const exited = once(child, 'exit');
  return {
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** The bytes of a message of FilePizza. */
const CHUNK = 256 << 10;

/** The hashes of the chunks of a file. */
async function hashes(path) {
  const sums = [];
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK })) sums.push(createHash('sha256').update(chunk).digest('hex'));
  return sums;
}

async function makeFile(name, megabytes) {
  const path = below(name);
  await pipeline(async function* () {
    for (let n = 0; n < megabytes; n += 1) yield randomBytes(1 << 20);
  }, createWriteStream(path));
  return { name, path, sums: await hashes(path) };
}

/**
 * A page in one browser offers a file, and several in another one get it at once. Resolves with what is to be said of that: PeerJS sends a
 * Blob when it has read it, and FilePizza writes what comes, so two neighbours may change places.
 */
async function transfer(site, megabytes, from, to) {
  const file = await makeFile('filepizza-large.bin', megabytes);
  const uploader = await from.newPage();
  await uploader.goto(site);
  await uploader.setInputFiles('input[type=file]', file.path);
  await uploader.click('#start-button');
  const address = await uploader.locator('#copyable-input-long-url').inputValue();
  let swapped = 0;
  await Promise.all(Array.from({ length: DOWNLOADERS }, async (_, n) => {
    const page = await to.newPage();
    page.setDefaultTimeout(PATIENCE);
    await page.goto(address);
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#download-button')]);
    await page.getByText('You downloaded').waitFor();
    const path = below(`downloaded-${n}-${file.name}`);
    await download.saveAs(path);
    const sums = await hashes(path);
    swapped += Number(sums.join() !== file.sums.join());
    if (sums.toSorted().join() !== file.sums.toSorted().join()) throw new Error(`${path} is not the file that was sent`);
    rmSync(path);
  }));
  rmSync(file.path);
  return `${megabytes} MB for ${DOWNLOADERS}${swapped > 0 ? ` (${swapped} with chunks that changed places)` : ''}`;
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
    return await transfer(`http://localhost:${port}/`, MEGABYTES.direct, browser, browser);
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
    stops.push(startSite(copy, port, network.address, network));
    await listensOn(network.server, network.address, port);
    const origin = `http://${network.address}:${port}`;
    const browsers = await Promise.all(['a', 'b'].map((host) => launchOn(network[host], 'chromium', { origin })));
    stops.push(...browsers.map((browser) => ({ stop: () => browser.close() })));
    return `${await transfer(origin, MEGABYTES.relayed, ...browsers)} by the relay alone`;
  } finally {
    for (const one of stops.reverse()) await one.stop();
    network.stop();
  }
}

export async function filepizza() {
  need(CHROMIUM);
  const steps = [['install', '--frozen-lockfile', '--ignore-scripts'], ['run', 'build']];
  const copy = await built('filepizza', 'FILEPIZZA_SOURCE', `the repository kern/filepizza at ${COMMIT}`, steps);
  const broker = await startServer();
  try {
    return [await theirTests(copy, broker), await large(copy, broker), await relayed(copy)].join(', ');
  } finally {
    await broker.stop();
  }
}
