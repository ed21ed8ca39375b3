// Each release of PeerJS in the pages of client-tests, unchanged: ids, data, calls, absent peers, connections that break.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { CHROMIUM } from '../../client-tests/lib/chromium.mjs';
import { FIREFOX } from '../../client-tests/lib/firefox.mjs';
import { releases } from '../../client-tests/lib/releases.mjs';
import { root } from '../../scripts/test/log.mjs';
import { below, output } from './tools.mjs';

const FILES = ['peers', 'lost', 'going-away'].map((name) => `tests/${name}.test.mjs`);

/** A suite for each release, by its name. */
export const ofReleases = Object.fromEntries(Object.keys(releases).map((version) => [`peerjs-${version}`, [`PeerJS ${version}`, () => judge(version)]]));

async function judge(version) {
  const name = `peerjs-${version}`;
  const words = ['--test', '--test-reporter=tap', '--test-concurrency=1', `--test-name-pattern=\\(${version.replaceAll('.', '\\.')}, `, ...FILES];
  const { text } = await output(name, process.execPath, words, { cwd: join(root, 'client-tests'), env: { ...process.env, THOROUGH: '1' } });
  const failed = Array.from(text.matchAll(/^ *not ok \d+ - (.*\(.*\))$/gm), ([, test]) => test);
  if (failed.length > 0) throw new Error(`failed: ${failed.join('; ')}. See ${below(`${name}.log`)}`);
  const inBrowsers = Object.entries({ chromium: CHROMIUM, firefox: FIREFOX }).flatMap(([browser, program]) => {
    const { length } = Array.from(text.matchAll(new RegExp(`^ *ok \\d+ - .*, ${browser}\\)$`, 'gm')));
    const [known] = execFileSync(program, ['--version'], { encoding: 'utf8' }).match(/\w+ \d+/);
    return length > 0 ? [`${length} tests in ${known}`] : [];
  });
  if (inBrowsers.length === 0) throw new Error(`no test ran: see ${below(`${name}.log`)}`);
  return inBrowsers.join(', ');
}
