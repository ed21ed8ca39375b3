// boardgame.io's peer-to-peer transport: three players, in Chromium and Firefox, and a host that leaves.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHROMIUM, launchChromium } from '../../client-tests/lib/chromium.mjs';
import { FIREFOX, launchFirefox } from '../../client-tests/lib/firefox.mjs';
import { startServer } from '../../client-tests/lib/server.mjs';
import { within } from '../../client-tests/lib/within.mjs';
import { need } from './programs.mjs';
import { below, npmPackages, output } from './tools.mjs';

const GAME = 'boardgame.io@0.50.2';
const TRANSPORT = '@boardgame.io/p2p@0.4.4';

/** Makes the page of a player, and resolves with its folder. */
async function makePage() {
  const folder = await npmPackages('boardgame', GAME, TRANSPORT, 'peerjs@1.5.5', 'esbuild@0.25.12');
  const pages = join(folder, 'pages');
  mkdirSync(pages, { recursive: true });
  writeFileSync(join(pages, 'player.html'), '<!doctype html><title>A player</title><script src="player.js"></script>');
  const { code } = await output('boardgame-esbuild', join(folder, 'node_modules/.bin/esbuild'), [
    join(import.meta.dirname, 'boardgame.page.mjs'), '--bundle', `--outfile=${join(pages, 'player.js')}`,
  ], { env: { ...process.env, NODE_PATH: join(folder, 'node_modules') } });
  if (code !== 0) throw new Error(`see ${below('boardgame-esbuild.log')}`);
  return pages;
}

/** Plays two matches. `open` makes a page in each browser. */
async function play(open, url) {
  const join = async (browser, id, isHost) => {
    const page = await open[browser]();
    await page.goto(`${url}/player.html`);
    await page.evaluate(([id, isHost]) => window.join(id, isHost), [id, isHost]);
    return page;
  };
  const sees = (pages, cells) => Promise.all(pages.map((page, n) => within(`player ${n} to see ${cells}`, page.evaluate((wanted) => window.sees(wanted), cells))));
  // Each player tries again until there is a host.
  const [one, two] = [await join('chromium', '1', false), await join('firefox', '2', false)];
  for (const first of [true, false]) {
    const host = await join('chromium', '0', true);
    if (!first) {
      // The transport notices no end of its host by itself.
      for (const page of [one, two]) {
        await page.evaluate(() => {
          window.client.stop();
          window.client.start();
        });
      }
    }
    const players = [host, one, two];
    let cells = '-'.repeat(9);
    await sees(players, cells);
    for (const turn of [0, 1, 2, 3, 4, 5]) {
      await players[turn % 3].evaluate((cell) => window.client.moves.clickCell(cell), turn);
      cells = `${cells.slice(0, turn)}${turn % 3}${cells.slice(turn + 1)}`;
      await sees(players, cells);
    }
    const errors = (await Promise.all(players.map((page) => page.evaluate(() => window.errors)))).flat();
    if (errors.length > 0) throw new Error(errors.join(', '));
    await host.close();
  }
}

export async function boardgame() {
  need(CHROMIUM, FIREFOX);
  const pages = await makePage();
  const server = await startServer(['--static_dir', pages]);
  const chromium = await launchChromium();
  const firefox = await launchFirefox({ 'media.peerconnection.ice.loopback': true, 'media.peerconnection.ice.obfuscate_host_addresses': false }, {});
  try {
    await play({ chromium: () => chromium.newPage(), firefox: () => firefox.newPage() }, `http://127.0.0.1:${server.port}`);
  } finally {
    await Promise.all([chromium.close(), firefox.close(), server.stop()]);
  }
  return 'two matches of three players who came before their host, the second one after the first host had left';
}
