// PeerJS 0.3: an HTTP stream beside the WebSocket, and instead of it where WebSockets are blocked.

import assert from 'node:assert/strict';
import { everyClient } from '../lib/every-client.mjs';
import { hurry, reportEachLine, watchTransports } from '../lib/http-watch.mjs';

const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

const streaming = (behaviour, run) => everyClient(behaviour, { unless: (release) => !release.streams }, run);

streaming('opens once, on one of its two transports', async (stage) => {
  const server = await stage.server();
  const [alice, bob] = [await stage.client(), await stage.client()];
  for (const client of [alice, bob]) await watchTransports(client);
  await bob.open(server, 'bob');
  await alice.open(server, 'alice');
  for (const client of [alice, bob]) {
    await client.must('socket open');
    assert.equal(await client.must('stream'), '0');
    assert.equal(await client.must('stream line'), '2048 zeros');
  }

  await talk(alice, bob);

  for (const client of [alice, bob]) assert.equal(await opens(client), 1);
});

streaming('stays when it drops the stream, which it does once its WebSocket is open', async (stage) => {
  const server = await stage.server();
  const [alice, bob] = [await stage.client(), await stage.client()];
  await watchTransports(bob);
  await alice.open(server, 'alice');
  await bob.open(server, 'bob');
  await bob.must('socket open');
  await bob.must('stream line');

  assert.equal(await hurry(bob, 5_000), 1);

  await talk(alice, bob);
  assert.equal(await opens(bob), 1);
  assert.equal(await bob.count('disconnected'), 0);
});

streaming('opens and talks over HTTP alone', async (stage) => {
  const proxy = await stage.httpOnlyProxy(await stage.server());
  const [alice, bob] = [await stage.client(), await stage.client()];
  for (const client of [alice, bob]) await watchTransports(client);
  assert.equal(await bob.open(proxy, 'bob'), 'bob');
  await alice.open(proxy);

  await talk(alice, bob);

  for (const client of [alice, bob]) {
    assert.equal(await opens(client), 1);
    assert.equal(await client.count('socket open'), 0);
  }
});

// Chromium reports everything that arrived meanwhile as one event, and the client reads one line per event.
streaming('hears over HTTP alone what comes while its page is busy, once and again', async (stage) => {
  const server = await stage.server();
  const [alice, bob] = [await stage.client(), await stage.client()];
  await bob.open(await stage.httpOnlyProxy(server), 'bob');
  await alice.open(server, 'alice');
  await bob.run(() => {
    window.beBusy = () => setTimeout(() => {
      const end = Date.now() + 2_000;
      while (Date.now() < end);
    });
    const { open } = XMLHttpRequest.prototype;
    XMLHttpRequest.prototype.open = function (method, url, ...rest) {
      if (url.endsWith('/offer')) this.addEventListener('loadend', window.beBusy);
      return open.call(this, method, url, ...rest);
    };
    window.beBusy();
  });

  await talk(alice, bob);
});

for (const websocket of [true, false]) {
  const how = websocket ? 'with a WebSocket' : 'over HTTP alone';
  const wayTo = async (stage, server) => {
    const proxy = await stage.httpOnlyProxy(server);
    if (websocket) proxy.admit();
    return proxy;
  };

  streaming(`connects before it is open, ${how}`, async (stage) => {
    const server = await stage.server();
    const [alice, bob] = [await stage.client(), await stage.client()];
    await bob.open(await wayTo(stage, server), 'bob');

    const line = await alice.openWith('bob', await wayTo(stage, server), 'alice');

    assert.equal(await line.echo('early'), 'early');
    assert.equal(await bob.must('connection'), 'alice');
    assert.deepEqual([await alice.count('open'), await bob.count('open')], [1, 1]);
  });

  // The desk connects to the id that the phone shows, without waiting for its own.
  streaming(`turns slides from a phone that the desk connects to at once, ${how}`, async (stage) => {
    const server = await stage.server();
    const proxy = await wayTo(stage, server);
    const [desk, phone] = [await stage.client(), await stage.client()];
    // Otherwise a machine that is busy for 25 s loses a message of its many.
    for (const client of [desk, phone]) await reportEachLine(client);
    await phone.run(holdRemote, place(await wayTo(stage, server)));
    const id = await phone.must('open');
    const typed = desk.onPrompt(async () => {
      // Typing takes longer than the server: the desk's own id is already in transit.
      await proxy.passed(UUID, 1);
      return id;
    });

    await desk.run(present, place(proxy));
    await typed;

    assert.equal(await desk.must('heard'), 'Hello!');
    assert.equal(await phone.must('heard'), 'Talk, slide 1');
    await phone.run(() => window.press('right'));
    assert.equal(await desk.must('heard'), 'right');
    assert.equal(await phone.must('heard'), 'Talk, slide 2');
    assert.deepEqual([await desk.count('open'), await phone.count('open')], [1, 1]);
  });
}

/** Sends both ways, over connections opened by either side. */
async function talk(alice, bob) {
  const there = await alice.connect(await name(bob));
  assert.equal(await there.echo('there'), 'there');
  const back = await bob.connect(await name(alice));
  assert.equal(await back.echo('and back'), 'and back');
}

/** Counts OPEN on both transports; checks that the client reported `open` at most once. */
async function opens(client) {
  assert.equal(await client.count('open'), 1);
  const streamed = await client.run(() => window.log.details('stream line').filter((type) => type === 'OPEN').length);
  return streamed + client.received('OPEN').length;
}

const name = (client) => client.run(() => window.log.details('open')[0]);

const place = ({ host, port }) => ({ host, port, path: '/', config: { iceServers: [] } });

/** The phone: it shows its id and the received messages. */
function holdRemote(options) {
  const { record } = window.log;
  const peer = new Peer(options);
  peer.on('open', (id) => record('open', id));
  peer.on('connection', (line) => {
    window.press = (button) => line.send(button);
    line.on('open', () => {
      line.on('data', ({ title, slide }) => record('heard', `${title}, slide ${slide}`));
      line.send('Hello!');
    });
  });
}

/** The desk. */
function present(options) {
  const { record } = window.log;
  let slide = 1;
  const peer = new Peer(options);
  peer.on('open', (id) => record('open', id));
  const line = peer.connect(prompt('The id on the phone'));
  line.on('open', () => {
    const tell = () => line.send({ title: 'Talk', slide });
    line.on('data', (button) => {
      record('heard', button);
      if (button !== 'right') return;
      slide += 1;
      tell();
    });
    tell();
  });
}
