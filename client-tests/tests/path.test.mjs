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

everyClient('with an id and a wrong path hears the right path', {}, async (stage) => {
  const server = await stage.server(['--path', '/myapp']);
  const alice = await stage.client();

  await alice.start(server, 'alice', { path: '/' });
  const error = await alice.next('open', 'error text');

  assert.deepEqual(error, { name: 'error text', detail: 'Wrong path: this broker is at /myapp' });
});

for (const path of ['/', '/foo', '/myapp/foo']) {
  everyClient(`without an id and with the wrong path ${path} hears the right path, and of no error of CORS`, {}, async (stage) => {
    const server = await stage.server(['--path', '/myapp']);
    const alice = await stage.client();
    const said = [];
    alice.listen('console', (message) => said.push(message.text()));

    await alice.start(server, undefined, { path });
    const error = await alice.next('open', 'error text');

    assert.deepEqual(error, { name: 'error text', detail: 'Wrong path: this broker is at /myapp' });
    // The stream of old releases finds nothing there.
    assert.doesNotMatch(said.join('\n'), stage.release.streams ? /CORS/ : /CORS|404/);
  });
}
