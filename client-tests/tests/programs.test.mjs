// Programs that are peers, beside pages with released PeerJS: a peer in Rust that echoes, `peerbroker listen` and `peerbroker connect`.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Client } from '../lib/client.mjs';
import { startCluster } from '../lib/cluster.mjs';
import { startProxy } from '../lib/frozen-proxy.mjs';
import { listing } from '../lib/listings.mjs';
import { startPipePages } from '../lib/pipe-pages.mjs';
import { ECHO, ProgramStage } from '../lib/programs.mjs';
import { releases } from '../lib/releases.mjs';
import { startServer } from '../lib/server.mjs';
import { freePort } from '../lib/shipped-proxy.mjs';
import { testOn } from '../lib/stage.mjs';
import { isThorough } from '../lib/thorough.mjs';
import { until } from '../lib/within.mjs';

const MEGABYTE = 1_000_000;
/** The most bytes of PeerJS in one message, and one more. */
const SIZES = [1, 16_300, 16_301, 262_144];
const LARGE = [5 * MEGABYTE, ...(isThorough ? [50 * MEGABYTE] : [])];
const SERIALIZATIONS = ['binary', 'json', 'raw'];

const TEXTS = ['', 'hello', '“one” \u0000 \u2028 é'];
const EMOJI = 'one 😀 two 𝄞';
/** PeerJS cannot send integers of more than 64 bits. */
const VALUES = [
  true, [], {}, { a: { b: [{ c: null }, [[]]], 'd é': { e: 'f' } } },
  { integers: [0, 1, -1, 31, 32, -32, -33, 127, 128, -128, -129, 255, 256, 32_767, -32_769, 65_535, 65_536, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 53 - 1, -(2 ** 31) - 1, -(2 ** 53) + 1] },
  { fractions: [0.1, -0.1, 1.5, 1e-7, 1 / 3, -123456.789] },
];
const textsFor = (version) => (releases[version].packsEmoji ? [...TEXTS, EMOJI] : TEXTS);
const MANY = Array.from({ length: 10_000 }, (_, number) => number);

let broker;
after(async () => (await broker)?.stop());

class PageStage extends ProgramStage {
  /** Where pages find the broker, and their files. @type {any} */
  pipes;

  async start() {
    this.broker = await (broker ??= startServer(['--pipe_total_bytes_per_second=0']));
    this.pipes = await this.keep('proxies', startPipePages({ broker: this.broker }));
  }

  /** A page that is open under this id. */
  async page(id, engine = 'chromium', version = '1.5.5') {
    const page = await this.keep('pages', Client.load(engine, this.pipes.page({ library: version })));
    await page.open(this.pipes, id);
    return page;
  }
}

/** @param {(stage: PageStage) => Promise<void>} run */
const withPages = (behaviour, run) => testOn(behaviour, () => new PageStage(), async (stage) => {
  await stage.start();
  await run(stage);
});

for (const [engine, version, serializations] of /** @type {[string, string, string[]][]} */ ([
  ['chromium', '1.5.5', SERIALIZATIONS],
  ['chromium', '2.0.0-beta.3', SERIALIZATIONS],
  ['firefox', '1.5.5', isThorough ? SERIALIZATIONS : ['binary']],
  ...(isThorough ? [['firefox', '2.0.0-beta.3', SERIALIZATIONS]] : []),
])) {
  const isWhole = isThorough || (engine === 'chromium' && version === '1.5.5');
  const sizes = isWhole ? [...SIZES, ...LARGE] : SIZES;
  const many = isWhole ? MANY : MANY.slice(0, 100);

  withPages(`a page and a program exchange values: ${version}, ${serializations} (${engine})`, async (stage) => {
    const id = `echo-${engine}-${version.replaceAll('.', '-')}`;
    const program = await stage.shell(stage.broker, `${ECHO} localhost:${stage.broker.port} ${id}`);
    await program.line(/^echo-/);
    const page = await stage.page(`page-of-${id}`, engine, version);
    for (const serialization of serializations) {
      const line = await page.connect(id, { serialization });
      const texts = serialization === 'binary' ? textsFor(version) : [...TEXTS, EMOJI];
      for (const value of serialization === 'raw' ? texts : [...texts, ...VALUES]) assert.deepEqual(await line.echo(value), value);
      if (serialization === 'raw') assert.ok(await line.echoBytes(100_000, true));
      if (serialization !== 'binary') continue;
      for (const size of sizes) assert.ok(await line.echoBytes(size), `${size} bytes are harmed`);
      assert.deepEqual(await line.stream(many), many);
    }
  });

  withPages(`a program that connects and a page exchange values: ${version} (${engine})`, async (stage) => {
    const id = `page-${engine}-${version.replaceAll('.', '-')}`;
    await stage.page(id, engine, version);
    const program = await stage.shell(stage.broker, `peerbroker connect ${id} --json`);
    await program.line(/"open"/);
    const answers = async (messages) => {
      const before = program.output.length;
      for (const data of messages) program.type(`${JSON.stringify({ data })}\n`);
      await until('all to come back', () => program.output.length === before + messages.length);
      return program.output.slice(before).map((line) => JSON.parse(line).data);
    };
    const bytes = sizes.map((size) => ({ bytes: randomBytes(size).toString('base64') }));
    for (const data of [...textsFor(version), ...VALUES, 'x'.repeat(MEGABYTE), ...bytes, { in: bytes[0] }]) assert.deepEqual(await answers([data]), [data]);
    assert.deepEqual(await answers(many), many);
    program.endInput();
    assert.deepEqual(await program.end(), { code: 0, signal: null });
    assert.deepEqual(program.errors, []);
  });
}

withPages('a page and a person at a terminal talk, until the page closes', async (stage) => {
  const terminal = await stage.listener(stage.broker, 'peerbroker listen terminal');
  const page = await stage.page('talker');
  const line = await page.connect('terminal');
  const answer = line.echo('hello 😀');
  await terminal.line(/^hello 😀$/);
  terminal.type('hi 𝄞\n');
  assert.equal(await answer, 'hi 𝄞');
  await page.ask('hangUp');
  assert.equal((await terminal.end()).code, 0);
});

const QUESTION = listing('docs/PROGRAMS.md', '--exec').replace(/cat \S+temp/, 'echo "you said $question"');
withPages('a command answers each page by a process of its own', async (stage) => {
  await stage.listener(stage.broker, QUESTION);
  for (const id of ['one', 'two']) {
    const line = await (await stage.page(`asker-${id}`)).connect('my-pi');
    for (const question of [id, '"😀" 1\t2']) assert.equal(await line.echo(question), `you said ${question}`);
  }
});

const SENSOR = listing('docs/PROGRAMS.md', 'mkfifo').replace(/\$\(cat \S+\)/, '21.5');
withPages('three lines of shell answer the page that asks, and no other', async (stage) => {
  await stage.listener(stage.broker, SENSOR);
  const [asks, silent] = [await stage.page('asks'), await stage.page('silent')];
  await silent.connect('my-pi');
  for (let time = 0; time < 2; time += 1) {
    const line = await asks.connect('my-pi');
    for (const question of ['warm?', { from: 'silent', "it's": '"to":"silent"' }]) assert.equal(await line.echo(question), 21.5);
  }
  assert.equal(await silent.count('line 0 data'), 0);
});

withPages('a code admits those who know it, and no page', async (stage) => {
  const listener = await stage.listener(stage.broker, 'peerbroker listen coded --code=4821-9037 --keep');
  const page = await stage.page('uncoded');
  await page.dial('coded');
  await page.next('line close');
  const connect = async (code) => (await (await stage.shell(stage.broker, `echo hello | peerbroker connect coded --code ${code}`)).end()).code;
  listener.type('a secret\n');
  listener.endInput();
  for (const code of ['4821-9038', '48219037', '4821-9039']) {
    assert.equal(await connect(code), code === '48219037' ? 0 : 4);
  }
  assert.deepEqual(listener.output, ['hello']);
  assert.equal(await connect('4821-9040'), 4);
  assert.equal((await listener.end()).code, 4);
  assert.equal(await page.count('line 0 data'), 0);
});

const SIZE = 30 * MEGABYTE;
/** So slow that a file takes three seconds. */
const SLOW = ['--pipe_total_bytes_per_second=80000000'];
const hashOf = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');

/** Passes a file between two commands, each at a place of its own, and meanwhile does what harms it. Resolves with the seconds. */
async function passesFile(stage, [listening, calling], harm) {
  const [sent, got] = ['sent', 'got'].map((name) => join(stage.folder, name));
  writeFileSync(sent, randomBytes(SIZE));
  const listener = await stage.listener(listening, 'peerbroker listen ada > got < /dev/null');
  const began = Date.now();
  const caller = await stage.shell(calling, 'peerbroker connect ada < sent');
  await until('a tenth of the file', () => statSync(got).size > SIZE / 10);
  await harm();
  assert.ok(statSync(got).size < SIZE, 'the file was faster');
  for (const one of [caller, listener]) assert.equal((await one.end(100_000)).code, 0, one.errors.join('\n'));
  assert.equal(hashOf(got), hashOf(sent));
  stage.note(`${((Date.now() - began) / 1000).toFixed(1)} s`);
}

// They wait most of the time.
describe('what happens to a file on its way', { concurrency: 2 }, () => {
  const onNetwork = (behaviour, run) => testOn(behaviour, () => new ProgramStage(), run);

  const places = { 'both ends': [0, 0], ...(isThorough ? { 'the listener': [0, 1], 'the caller': [1, 0] } : {}) };
  for (const [who, nodes] of Object.entries(places)) {
    onNetwork(`a file arrives although the node of ${who} is killed`, async (stage) => {
      const ports = [await freePort(), await freePort(), await freePort()];
      const cluster = await stage.keep('clusters', startCluster({ flags: SLOW, ports }));
      const proxies = /** @type {[any, any]} */ (await Promise.all(nodes.map((node) => stage.keep('proxies', startProxy(ports[node])))));
      await passesFile(stage, proxies, async () => {
        for (const [end, proxy] of proxies.entries()) proxy.lead(ports[end + 1]);
        await cluster.kill(0);
      });
    });
  }

  for (const who of isThorough ? ['listener', 'caller'] : ['listener']) {
    onNetwork(`a file arrives although the network of the ${who} is gone for a while`, async (stage) => {
      const server = await stage.server(SLOW);
      const proxy = await stage.keep('proxies', startProxy(server.port));
      await passesFile(stage, who === 'listener' ? [proxy, server] : [server, proxy], async () => {
        proxy.freeze();
        await pause(isThorough ? 20_000 : 2_000);
        proxy.thaw();
      });
    });
  }
});
