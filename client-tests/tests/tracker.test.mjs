// Torrents: WebTorrent, unchanged, finds the other members of a swarm by the tracker at the root.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import WebSocket from 'ws';
import { onStage } from '../lib/every-client.mjs';
import { listing } from '../lib/listings.mjs';

const TRACKER = ['--dialects', 'tracker'];

onStage('a page seeds a file, and others load it from each other, also when the first is gone', async (stage) => {
  const server = await stage.server(TRACKER);
  const url = server.socketUrl;
  const text = 'hello '.repeat(20_000);
  const [anna, ben, clara] = [await stage.page('torrents'), await stage.page('torrents'), await stage.page('torrents')];
  const magnet = await anna.ask('seed', { url, text });

  assert.equal(await ben.ask('load', magnet), text);
  await anna.ask('leave');

  assert.equal(await clara.ask('load', magnet), text);
  const [, hex] = magnet.match(/btih:([0-9a-f]{40})/);
  const { complete, incomplete } = await scraped(url, Buffer.from(hex, 'hex').toString('latin1'));
  assert.equal(complete + incomplete, 2);
});

onStage('by the listing of docs/CHOOSING.md, a page that knows only an info hash loads the file', async (stage) => {
  const server = await stage.server(TRACKER);
  const code = listing('docs/CHOOSING.md', 'WebTorrent').replace(/^import .*|^const client .*/gm, '').replace('ws://localhost:9000/', server.socketUrl);
  const seeds = code.slice(0, code.indexOf('// Elsewhere'));
  const [, loads] = code.match(/^\/\/ Elsewhere: (.*)$/m);
  const [anna, ben] = [await stage.page('torrents'), await stage.page('torrents')];
  const infoHash = await anna.ask('run', seeds);

  assert.equal(await ben.ask('load', { infoHash, code: code.replace(/^client\.seed[^]*/m, `return ${loads}`) }), 'hello');
});

/** The numbers that the tracker tells of a torrent. */
async function scraped(url, infoHash) {
  const socket = new WebSocket(url);
  try {
    await once(socket, 'open');
    socket.send(JSON.stringify({ action: 'scrape', info_hash: infoHash }));
    const [answer] = await once(socket, 'message');
    return JSON.parse(answer).files[infoHash];
  } finally {
    socket.terminate();
  }
}
