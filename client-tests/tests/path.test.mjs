// The id comes over HTTP, everything else over the WebSocket. So a peer without an id of its own needs
// both at the right path.

import assert from 'node:assert/strict';
import { everyClient } from '../lib/every-client.mjs';

const fitting = [
  { server: '/', client: '/' },
  { server: '/myapp', client: '/myapp' },
  { server: '/myapp', client: '/myapp/' },
  { server: '/myapp', client: 'myapp' },
  { server: '/myapp/', client: '/myapp' },
];

for (const path of fitting) {
  everyClient(`with path ${path.client} opens at a server at ${path.server}`, {}, async (stage) => {
    const server = await stage.server(['--path', path.server]);
    const alice = await stage.client();

    assert.ok(await alice.open(server, undefined, { path: path.client }));
  });
}

// The requests of a client whose author mistook the last part of the WebSocket's URL for the path.
everyClient('with a stray path /peerjs opens at a server at /', {}, async (stage) => {
  const server = await stage.server();
  const alice = await stage.client();

  assert.ok(await alice.open(server, undefined, { path: '/peerjs' }));
});

everyClient('with a path that is not the server\'s hears an error', {}, async (stage) => {
  const server = await stage.server(['--path', '/myapp']);
  const alice = await stage.client();

  await alice.start(server, 'alice', { path: '/' });
  const answer = await alice.next('open', 'error');

  assert.equal(answer.name, 'error');
});
