// The npm packages, packed and installed from a registry of this machine: `npx peerbroker` is like the program, and apps find the API.

import assert from 'node:assert/strict';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { build } from 'rolldown';
import { connectTwoPages } from '../lib/demos.mjs';
import { startRegistry } from '../lib/registry.mjs';
import { killAll, Run } from '../lib/run.mjs';
import { binary, plainEnvironment, runCommand } from '../lib/server.mjs';
import { isThorough } from '../lib/thorough.mjs';
import { visit } from '../lib/visit.mjs';
import { within } from '../lib/within.mjs';

const root = resolve(import.meta.dirname, '../..');
const platform = `${process.platform}-${process.arch}`;
const stage = mkdtempSync(join(tmpdir(), 'peerbroker-npm-'));
const installed = join(stage, 'installed');
const withoutProgram = join(stage, 'without-program');
const withStub = join(stage, 'with-stub');
const withPeer = join(stage, 'with-peer');
const [asPeer4, asPeer5] = ['as-peer-4', 'as-peer-5'].map((name) => join(stage, name));

// On a busy machine npm takes long to compress the program, in milliseconds.
const COMPRESSION = 120_000;

// Those of an outer npm would choose another folder.
/** @type {Record<string, string>} */
const environment = {
  ...Object.fromEntries(Object.entries(plainEnvironment()).filter(([name]) => !/^npm_/i.test(name))),
  npm_config_cache: join(stage, 'cache'),
  npm_config_update_notifier: 'false',
};

// Takes the place of the program: it names signals. SIGTERM ends it, and SIGHUP, which a terminal sends when it is closed.
const STUB = `#!${process.execPath}
for (const signal of ['SIGINT', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGTERM']) process.on(signal, () => console.log(signal));
process.on('SIGTERM', () => process.exit());
setInterval(() => {}, 60_000);
console.log('the launcher is ' + process.ppid);
`;

let registry;

before(async () => {
  const pack = [join(root, 'scripts/npm.mjs'), '--output', join(stage, 'packages'), `${platform}=${binary}`];
  registry = await startRegistry(await succeeds(process.execPath, pack));
  environment.npm_config_registry = registry.url;
  const types = ['@types/cors', '@types/node', '@types/ws', 'ws@8'];
  await Promise.all([
    install(installed, 'peerbroker'),
    install(withoutProgram, 'peerbroker', '--omit=optional'),
    install(asPeer5, 'peer@npm:peerbroker', 'express@5', '@types/express@5', ...types),
    ...(isThorough ? [
      install(asPeer4, 'peer@npm:peerbroker', 'express@4', '@types/express@4', ...types),
      // Its types are those of Express 4.
      install(withPeer, 'peer', 'express@4', '@types/express@4', ...types),
    ] : []),
  ]);
  const folder = join(withStub, 'node_modules/@peerbroker', platform, 'bin');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'peerbroker'), STUB, { mode: 0o755 });
  cpSync(join(installed, 'node_modules/peerbroker'), join(withStub, 'node_modules/peerbroker'), { recursive: true });
  cpSync(join(installed, 'node_modules/.bin/peerbroker'), join(withStub, 'node_modules/.bin/peerbroker'), { verbatimSymlinks: true });
});

afterEach(killAll);

after(() => {
  registry?.stop();
  rmSync(stage, { recursive: true, force: true });
});

test('npx runs the program with its arguments, output and exit code', async () => {
  const npx = (...words) => ended('npx', ['--no-install', 'peerbroker', ...words], { cwd: installed });

  const [version, mistake] = await Promise.all([npx('--version'), npx('--prot', '9000')]);

  assert.deepEqual([version.code, version.output], [0, (await runCommand('--version')).split('\n').slice(0, -1)]);
  assert.equal(mistake.code, 2);
  assert.match(mistake.errors.join('\n'), /^error: unexpected argument '--prot' found$/m);
});

visit('npx starts a server whose demo connects two pages', async (visit) => {
  const server = run('npx', ['--no-install', 'peerbroker', '--host', '127.0.0.1'], { cwd: installed });
  const [, port] = await server.line(/^Started PeerServer on \S+, port: (\d+), /);
  await connectTwoPages(visit, { port });
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  test(`a server takes its port from the environment, serves ids, and stops cleanly on ${signal} to the launcher`, async () => {
    const server = launch('--host', '127.0.0.1');
    const [, port] = await server.line(/^Started PeerServer on \S+, port: (\d+), /);

    const id = await (await within('an id', fetch(`http://127.0.0.1:${port}/peerjs/id`))).text();
    server.signal(signal);

    assert.match(id, /^[0-9a-f-]{36}$/);
    assert.deepEqual(await server.end(), { code: 0, signal: null });
  });
}

test('the launcher ends by the signal that ended the program', async () => {
  const server = launch('--host', '127.0.0.1');
  await server.line(/^Started PeerServer/);
  const [program] = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8').trim().split(' ');

  process.kill(Number(program), 'SIGKILL');

  assert.deepEqual(await server.end(), { code: null, signal: 'SIGKILL' });
});

test('the program reads the stdin of the launcher', async () => {
  const [from, to, file] = ['from', 'to', 'keys.json'].map((name) => join(stage, name));
  const key = (await runCommand('keys', 'add', '--data_dir', from, '--name', 'shop')).split('\n')[0];
  writeFileSync(file, await runCommand('keys', 'export', '--data_dir', from));

  const words = [launcher(installed), 'keys', 'import', '-', '--data_dir', to];
  const { code } = await ended(process.execPath, words, { stdin: openSync(file, 'r') });

  assert.equal(code, 0);
  assert.ok((await runCommand('keys', 'list', '--data_dir', to)).includes(key));
});

for (const signal of ['SIGTERM', 'SIGHUP', 'SIGKILL']) {
  test(`the program stops when npx ends by ${signal}, of which the launcher hears nothing`, async () => {
    const npx = run('npx', ['--no-install', 'peerbroker'], { cwd: withStub });
    await npx.line(/^the launcher is/);
    npx.signal(signal);
    // The program has the output until its end.
    assert.deepEqual(await npx.end(), { code: null, signal });
    assert.deepEqual(npx.output.slice(1), ['SIGTERM']);
  });
}

test('each signal reaches the program', async () => {
  const stub = run(process.execPath, [launcher(withStub)]);
  await stub.line(/^the launcher is/);

  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2']) {
    stub.signal(signal);
    await stub.line(new RegExp(`^${signal}$`));
  }

  stub.signal('SIGHUP');
  assert.deepEqual(await stub.end(), { code: null, signal: 'SIGHUP' });
});

test('Ctrl-C counts once, though the launcher gets it from the terminal and from npm', async () => {
  const command = `exec '${process.execPath}' '${launcher(withStub)}'`;
  const terminal = run('script', ['--quiet', '--return', '--command', command, '/dev/null'], { stdin: 'pipe' });
  const [, pid] = await terminal.line(/^the launcher is (\d+)/);

  terminal.type('\x03');
  await terminal.line(/SIGINT/);
  process.kill(Number(pid), 'SIGINT');
  process.kill(Number(pid), 'SIGTERM');

  assert.deepEqual(await terminal.end(), { code: 0, signal: null });
  assert.deepEqual(terminal.output.join('\n').match(/SIG\w+/g), ['SIGINT', 'SIGTERM']);
});

test('without a program for this platform, the launcher names the other ways', async () => {
  const other = join(stage, 'other-platform.cjs');
  writeFileSync(other, "Object.defineProperty(process, 'platform', { value: 'sunos' });");
  const ways = 'run the image, or build it from source: https://github.com/peerbroker/peerbroker#getting-it';

  const missing = await ended(process.execPath, [launcher(withoutProgram)]);
  const unknown = await ended(process.execPath, ['-r', other, launcher(installed)]);

  assert.deepEqual([missing.code, missing.errors], [1, [
    `error: the package @peerbroker/${platform} is missing: npm leaves it out with --omit=optional, or if the lock file was written on another `
      + `platform (https://github.com/npm/cli/issues/4828). Delete node_modules and package-lock.json and install again, ${ways}`,
  ]]);
  assert.deepEqual([unknown.code, unknown.errors], [1, [
    `error: npm has no program of peerbroker for sunos-${process.arch}: ${ways}`,
  ]]);
});

test('the command of peerjs-server, which a package.json may have kept, is the program too', async () => {
  const { code, output } = await ended(join(installed, 'node_modules/.bin/peerjs'), ['--version']);
  assert.deepEqual([code, output], [0, (await runCommand('--version')).split('\n').slice(0, -1)]);
});

test('node_modules of another platform, and a program that lost its permission, are told with the remedy', async () => {
  const moved = join(stage, 'moved');
  cpSync(join(installed, 'node_modules'), join(moved, 'node_modules'), { recursive: true });
  const program = join(moved, 'node_modules/@peerbroker', platform, 'bin/peerbroker');
  writeFileSync(join(moved, 'app.cjs'), `
    const { ExpressPeerServer } = require('peerbroker');
    ExpressPeerServer(require('node:http').createServer()).on('error', (error) => console.log(error.message));
  `);
  const say = async () => [(await ended(process.execPath, [launcher(moved)])).errors.join('\n'), (await ended(process.execPath, [join(moved, 'app.cjs')])).output.join('\n')];

  chmodSync(program, 0o644);
  for (const text of await say()) assert.ok(text.includes(`EACCES). It may not be executed: chmod +x ${program} (ZIP files and some uploads lose that)`), text);

  const other = platform.startsWith('darwin-') ? 'linux-x64' : 'darwin-arm64';
  renameSync(join(moved, 'node_modules/@peerbroker', platform), join(moved, 'node_modules/@peerbroker', other));
  const [launched] = await say();
  assert.equal(launched, `error: the package @peerbroker/${platform} is missing, and @peerbroker/${other} is here: node_modules come from another platform. `
    + 'Install them on this one, and list them in .dockerignore');
});

test('an app that is bundled with the package is told to leave it out', async () => {
  const bundle = join(stage, 'bundle');
  writeFileSync(join(installed, 'bundled.cjs'), "const { ExpressPeerServer } = require('peerbroker'); ExpressPeerServer(require('node:http').createServer());");
  await Promise.all([['cjs', 'cjs'], ['esm', 'mjs']].map(([format, ending]) => build({
    input: join(installed, 'bundled.cjs'), platform: 'node', output: { file: join(bundle, `app.${ending}`), format: /** @type {any} */ (format) }, logLevel: 'silent',
  })));
  for (const ending of ['cjs', 'mjs']) {
    const { code, errors } = await ended(process.execPath, [join(bundle, `app.${ending}`)]);
    assert.equal(code, 1);
    assert.match(errors.join('\n'), new RegExp(`Error: the package @peerbroker/${platform} is missing, because the app is bundled: leave peerbroker out of the bundle, `));
  }
});

// As `npm pack` makes the package, without the libraries of these tests.
const WORD = `
  const http = require('node:http');
  const server = http.createServer();
  server.on('request', ExpressPeerServer(server, { path: '/app' }));
  server.listen(0, '127.0.0.1', async () => {
    const answer = await fetch('http://127.0.0.1:' + server.address().port + '/app/peerjs/id');
    console.log('id ' + (await answer.text()));
    server.closeAllConnections();
    server.close();
  });
`;

for (const [name, file, first] of [
  ['CommonJS', 'app.cjs', "const { ExpressPeerServer } = require('peerbroker');"],
  ['ESM', 'app.mjs', `
    import { createRequire } from 'node:module';
    import { ExpressPeerServer } from 'peerbroker';
    const require = createRequire(import.meta.url);
  `],
]) {
  test(`an app in ${name} serves ids, and ends`, async () => {
    writeFileSync(join(installed, file), first + WORD);
    const { code, output } = await ended(process.execPath, [join(installed, file)]);
    assert.match(output.join('\n'), /^id [0-9a-f-]{36}$/);
    assert.equal(code, 0);
  });
}

// What apps write with `peer`, which has the types of this file.
const TYPED = `
  import http from 'node:http';
  import express from 'express';
  import { WebSocketServer, type ServerOptions, type WebSocket } from 'ws';
  import { ExpressPeerServer, MessageType, PeerServer, type IClient, type IConfig, type IMessage, type PeerServerEvents } from 'peer';

  const options: Partial<IConfig> = {
    path: '/app', key: 'k', proxied: true, allow_discovery: true, cleanup_out_msgs: 1000, generateClientId: () => 'id',
    corsOptions: { origin: [/x/, 'y'] }, createWebSocketServer: (given: ServerOptions) => new WebSocketServer({ ...given, maxPayload: 9 }),
  };
  const app = express();
  const server = http.createServer(app);
  const peers: express.Express & PeerServerEvents = ExpressPeerServer(server, options);
  peers.use((req, _, next) => { console.log(req.ip, req.protocol); next(); });
  peers.get('/rooms', (_, res) => { res.json([]); });
  peers.set('title', 'x');
  app.use('/peerjs', peers);
  app.use(peers);
  express.Router().use('/:room', peers);
  peers.on('connection', (client: IClient) => {
    const socket: WebSocket | null = client.getSocket();
    if (socket?.readyState === socket?.OPEN) client.send({ type: 'hello', id: client.getId() + client.getToken() });
    socket?.on('close', () => client.setLastPing(client.getLastPing() + 1));
  });
  peers.on('message', (client, message: IMessage) => {
    const type: MessageType = message.type;
    const payload: string | undefined = message.payload;
    if (type === MessageType.OFFER || type === MessageType.ID_TAKEN) client.getSocket()?.close(4000, payload);
  });
  peers.on('disconnect', ({ getId }) => console.log(getId()));
  peers.on('error', (error: Error) => console.log(error.message));
  PeerServer({ port: 9000, ssl: { key: 'k', cert: 'c' } }, (started) => { started.close(); });
  PeerServer().listen(9001);
  export class Fake implements IClient {
    getId() { return 'id'; }
    getToken() { return 'token'; }
    getSocket() { return null; }
    setSocket(_: WebSocket | null) {}
    getLastPing() { return 1; }
    setLastPing(_: number) {}
    send<T>(_: T) {}
  }
  // @ts-expect-error: a number
  PeerServer({ port: 'a port' });
  // @ts-expect-error: no such event
  peers.on('something', (client: IClient) => client.send(1));
`;

const NODE16 = { module: 'node16', moduleResolution: 'node16' };
// As `nest new` writes it.
const NEST = {
  module: 'nodenext', moduleResolution: 'nodenext', resolvePackageJsonExports: true, emitDecoratorMetadata: true, experimentalDecorators: true,
  strict: false, strictNullChecks: true, isolatedModules: true, target: 'es2023',
};

// Both kinds of modules, and the strictest compiler. Every night, also the settings of others, Express 4, and `peer` itself.
for (const [name, endings, compilerOptions] of /** @type {[string, string[], any][]} */ ([
  ['node16', ['mts', 'cts'], NODE16],
  ...(isThorough ? [
    ['nodenext', ['mts', 'cts'], { module: 'nodenext', moduleResolution: 'nodenext' }],
    ['bundler', ['mts', 'ts'], { module: 'esnext', moduleResolution: 'bundler' }],
    ['NestJS', ['ts'], NEST],
  ] : []),
  ['the strictest', ['mts'], { ...NODE16, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, verbatimModuleSyntax: true, skipLibCheck: false }],
])) {
  test(`apps in TypeScript compile with peer and with peerbroker: ${name}`, async () => {
    // Those of `peer` are for modules only, and use types that it does not install.
    const forPeer = compilerOptions.skipLibCheck === false ? [] : endings.filter((ending) => ending === 'mts');
    const older = isThorough ? [[withPeer, forPeer], [asPeer4, endings]] : [];
    for (const [folder, used] of /** @type {[string, string[]][]} */ ([...older, [asPeer5, endings]])) {
      if (used.length === 0) continue;
      const files = used.map((ending) => `typed.${ending}`);
      for (const file of files) writeFileSync(join(folder, file), TYPED);
      const config = { strict: true, noEmit: true, target: 'es2022', esModuleInterop: true, skipLibCheck: true, types: ['node'], ...compilerOptions };
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: config, files }));
      const { code, output } = await ended(process.execPath, [join(root, 'client-tests/node_modules/typescript/bin/tsc'), '-p', folder]);
      assert.deepEqual([code, output], [0, []], folder);
    }
  });
}

test('the launcher needs no library', async () => {
  const alone = join(stage, 'alone');
  for (const name of ['peerbroker', '@peerbroker']) {
    cpSync(join(installed, 'node_modules', name), join(alone, 'node_modules', name), { recursive: true });
  }
  const { code, output } = await ended(process.execPath, [launcher(alone), '--version']);
  assert.deepEqual([code, output], [0, (await runCommand('--version')).split('\n').slice(0, -1)]);
});

// Electron reads files in its archive, but starts no programs there: here the archive is a folder.
test('in Electron, the program beside the archive is used, and if it is missing, an error says how to unpack it', async () => {
  const [archive, beside] = ['app.asar', 'app.asar.unpacked'].map((name) => join(stage, 'electron', name));
  cpSync(join(installed, 'node_modules'), join(archive, 'node_modules'), { recursive: true });
  const program = join('node_modules/@peerbroker', platform, 'bin/peerbroker');
  cpSync(join(archive, program), join(beside, program));
  writeFileSync(join(archive, program), 'packed');
  const app = join(archive, 'app.js');
  writeFileSync(app, "const { ExpressPeerServer } = require('peerbroker');" + WORD.replace('const server', 'let peers; const server').replace(
    "server.on('request', ExpressPeerServer(server, { path: '/app' }));",
    "server.on('request', (peers = ExpressPeerServer(server, { path: '/app' }))); peers.on('error', (error) => console.log(error.message));",
  ));
  assert.match((await ended(process.execPath, [app])).output.join('\n'), /^id [0-9a-f-]{36}$/);
  // The first error is told later, and the second one is thrown.
  for (const spoil of [() => rmSync(beside, { recursive: true }), () => writeFileSync(beside, 'a file')]) {
    spoil();
    const { output } = await ended(process.execPath, [app]);
    assert.match(output[0], /^peerbroker cannot be started \(.*ENO(ENT|TDIR).*\)\. Have Electron’s packager unpack it, with asarUnpack: /);
  }
});

test('packages of a wrong version, platform or program are refused', async () => {
  const copy = join(stage, 'copy');
  for (const path of ['scripts/npm.mjs', 'npm', 'Cargo.toml']) cpSync(join(root, path), join(copy, path), { recursive: true });
  const pack = (folder, ...words) => ended(process.execPath, [join(folder, 'scripts/npm.mjs'), '--output', join(stage, 'refused'), ...words]);
  const cargo = join(copy, 'Cargo.toml');
  writeFileSync(cargo, readFileSync(cargo, 'utf8').replace(/^version = .*$/m, 'version = "999.0.0"'));

  for (const [refused, why] of [
    [await pack(copy, `${platform}=${binary}`), /^error: npm\/peerbroker\/package\.json has peerbroker \S+, Cargo\.toml has 999\.0\.0: write 999\.0\.0$/],
    [await pack(root, `${platform}=${process.execPath}`), /^error: \S+ is v\S+, Cargo\.toml has \S+: make dist builds it$/],
    [await pack(root, 'sunos-x64=x'), /^error: sunos-x64 is not a platform: expected darwin-arm64, /],
    [await pack(root, `${platform}=nowhere`), /^error: nowhere is missing: make dist builds it$/],
    [await pack(root), /^error: no program: give PLATFORM=PROGRAM, /],
  ]) {
    assert.equal(refused.code, 1);
    assert.match(refused.errors.join('\n'), why);
  }
});

function launcher(folder) {
  return join(folder, 'node_modules/peerbroker/bin/peerbroker.js');
}

function launch(...flags) {
  return run(process.execPath, [launcher(installed), ...flags]);
}

function run(program, words, options = {}) {
  return new Run(program, words, { cwd: stage, env: environment, ...options });
}

async function install(folder, ...packages) {
  mkdirSync(folder);
  await succeeds('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', '--prefer-dedupe', ...packages]);
}

async function ended(program, words, options) {
  const one = run(program, words, options);
  return { ...(await one.end()), output: one.output, errors: one.errors };
}

async function succeeds(program, words) {
  const one = run(program, words);
  const { code } = await one.end(COMPRESSION);
  assert.equal(code, 0, one.errors.join('\n'));
  return one.output;
}
