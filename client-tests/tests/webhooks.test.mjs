// Webhooks about clients that come and go, at the receiver of the documentation.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { onStage } from '../lib/every-client.mjs';
import { listing } from '../lib/listings.mjs';
import { freePort } from '../lib/shipped-proxy.mjs';
import { within } from '../lib/within.mjs';

const root = new URL('../', import.meta.url);
const SECRET = `whsec_${Buffer.from('a secret of the client tests').toString('base64')}`;

onStage('the receiver of the documentation hears of a page that comes and goes', async (stage) => {
  const code = listing('docs/WEBHOOKS.md', 'createServer');
  const port = await freePort();
  const env = { ...process.env, WEBHOOK_SECRET: SECRET, PORT: String(port) };
  const receiver = spawn(process.execPath, ['--input-type=module', '--eval', code], { cwd: root, env });
  try {
    const lines = createInterface(receiver.stdout)[Symbol.asyncIterator]();
    const next = async () => (await within('a line of the receiver', lines.next())).value.split(' ');
    const server = await stage.server(['--webhook', `http://127.0.0.1:${port}/`, '--webhook_secret', SECRET]);
    assert.equal((await next())[1], 'server.started');
    const alice = await stage.client('1.5.5');

    await alice.open(server, 'alice');
    const [, connected, announced] = await next();
    await alice.close();
    const [, gone, ended] = await next();

    assert.deepEqual([connected, gone], ['peer.connected', 'peer.disconnected']);
    const { connection, id } = JSON.parse(announced);
    assert.equal(id, 'alice');
    assert.equal(JSON.parse(ended).connection, connection);
  } finally {
    receiver.kill();
  }
});
