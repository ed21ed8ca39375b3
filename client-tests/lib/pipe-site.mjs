// A page with PeerJS 1.5.5, unchanged, and webrtc.js, for `--static_dir`: all that it needs comes from the broker, and through the proxy in front.

import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { releases } from './releases.mjs';
import { scratch } from './scratch.mjs';

const root = join(import.meta.dirname, '..');
const FILES = ['../client/dist/webrtc.js', `clients/1.5.5/${releases['1.5.5'].script}`, 'lib/log.js', 'lib/way.js', 'lib/harness.js'];

/** The page's address below that of the broker. */
export const PIPE_PAGE = 'pipe-page.html';

/** Makes the folder. It goes with this process. */
export function makePipeSite() {
  const folder = scratch();
  for (const file of FILES) copyFileSync(join(root, file), join(folder, basename(file)));
  const scripts = FILES.map((file) => `<script src="${basename(file)}"></script>`);
  writeFileSync(join(folder, PIPE_PAGE), `<!doctype html>
<meta charset="utf-8">
<title>PeerJS and webrtc.js</title>
<link rel="icon" href="data:,">
${scripts.join('\n')}
`);
  return folder;
}

const FILE = 5 * 1_048_576;

/** Two clients connect, say over the broker that they do, and lose, double and reorder nothing. */
export async function talkOverBroker(alice, bob, server) {
  await bob.open(server, 'bob');
  await alice.open(server, 'alice');
  const line = await alice.connect('bob');
  for (const client of [alice, bob]) {
    await client.must('pipe');
    assert.ok((await client.stats()).includes('pipe'), 'getStats names the pipe');
  }

  const values = Array.from({ length: 1000 }, (_, i) => `message ${i}`);
  assert.deepEqual(await line.stream(values), values);
  // A double of the last one would be here.
  assert.equal(await line.echo('the end'), 'the end');

  await bob.hashFiles();
  const hash = await line.sendFile(FILE);
  assert.deepEqual(await bob.must('file'), hash);
}
