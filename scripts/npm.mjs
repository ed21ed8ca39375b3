// Packs the npm packages: `peerbroker`, `@peerbroker/client`, and one for each given platform with its program. Prints their paths.
// Usage: node scripts/npm.mjs [--output FOLDER] PLATFORM=PROGRAM…, for example linux-x64=target/dist/peerbroker

import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const LICENCES = ['LICENSE-APACHE', 'LICENSE-MIT'];
const root = resolve(import.meta.dirname, '..');
const main = join(root, 'npm/peerbroker');

function fail(problem) {
  console.error(`error: ${problem}`);
  process.exit(1);
}

const { values, positionals } = parseArgs({ allowPositionals: true, options: { output: { type: 'string' } } });
const output = resolve(values.output ?? join(root, 'target/npm'));
const { optionalDependencies, version, ...shared } = JSON.parse(readFileSync(join(main, 'package.json'), 'utf8'));
const platforms = Object.keys(optionalDependencies).map((name) => name.replace('@peerbroker/', ''));

const cargo = readFileSync(join(root, 'Cargo.toml'), 'utf8').match(/^version = "(.*)"$/m)?.[1];
for (const [name, pinned] of Object.entries({ peerbroker: version, ...optionalDependencies })) {
  if (pinned !== cargo) fail(`npm/peerbroker/package.json has ${name} ${pinned}, Cargo.toml has ${cargo}: write ${cargo}`);
}
if (positionals.length === 0) fail('no program: give PLATFORM=PROGRAM, for example linux-x64=target/dist/peerbroker');

const programs = positionals.map((argument) => {
  const [platform, program] = argument.split(/=(.*)/s);
  if (!program) fail(`${argument}: expected PLATFORM=PROGRAM`);
  if (!platforms.includes(platform)) fail(`${platform} is not a platform: expected ${platforms.join(', ')}`);
  if (!statSync(program, { throwIfNoEntry: false })?.isFile()) fail(`${program} is missing: make dist builds it`);
  if (platform === `${process.platform}-${process.arch}`) checkVersion(program);
  return [platform, program];
});

// It needs the packages of client/.
const { buildPackage } = await import('../client/build.mjs');
const folders = [
  stage('peerbroker', (folder) => {
    cpSync(main, folder, { recursive: true });
    // In a module, the same words import the types that other libraries have for modules.
    copyFileSync(join(folder, 'lib/index.d.ts'), join(folder, 'lib/index.d.mts'));
  }),
  stage('client', (folder) => {
    const { license, homepage, repository, exports, typesVersions, peerDependencies, peerDependenciesMeta } = shared;
    const { '.': _server, ...entries } = exports;
    const description = 'The client of peerbroker for pages: rooms, and more for PeerJS';
    const manifest = { name: '@peerbroker/client', version, description, license, homepage, repository, publishConfig: { access: 'public' } };
    const rest = { exports: entries, typesVersions, sideEffects: false, peerDependencies, peerDependenciesMeta };
    writeFileSync(join(folder, 'package.json'), `${JSON.stringify({ ...manifest, ...rest }, null, 2)}\n`);
    copyFileSync(join(root, 'client/README.md'), join(folder, 'README.md'));
  }),
];
for (const folder of folders) {
  await buildPackage(join(folder, 'client'));
  copyFileSync(join(root, 'npm/vendor/dist/LICENSES.txt'), join(folder, 'client/LICENSES.txt'));
}
for (const [platform, program] of programs) folders.push(stage(platform, (folder) => writePackage(folder, platform, program)));

const packed = execFileSync('npm', ['pack', '--loglevel=error', '--ignore-scripts', '--pack-destination', output, ...folders], {
  encoding: 'utf8',
  shell: process.platform === 'win32',
  stdio: ['ignore', 'pipe', 'inherit'],
});
for (const name of packed.trim().split('\n')) console.log(join(output, name));

/** Only this machine's program can run here. */
function checkVersion(program) {
  const said = execFileSync(resolve(program), ['--version'], { encoding: 'utf8' }).trim();
  if (said !== `peerbroker ${cargo}`) fail(`${program} is ${said}, Cargo.toml has ${cargo}: make dist builds it`);
}

/** A new folder of a package, which `write` fills. */
function stage(name, write) {
  const folder = join(output, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  write(folder);
  for (const licence of LICENCES) copyFileSync(join(root, licence), join(folder, licence));
  return folder;
}

function writePackage(folder, platform, program) {
  const [os, cpu] = platform.split('-');
  const { license, homepage, repository } = shared;
  const manifest = {
    name: `@peerbroker/${platform}`,
    version,
    description: `The program of peerbroker for ${platform}`,
    license,
    homepage,
    repository,
    os: [os],
    cpu: [cpu],
    // Yarn would leave the program in an archive.
    preferUnplugged: true,
    // npm publishes packages with a scope privately.
    publishConfig: { access: 'public' },
  };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  writeFileSync(join(folder, 'README.md'), `The program of [peerbroker](https://www.npmjs.com/package/peerbroker) for ${platform}. Install \`peerbroker\`.\n`);
  const copy = join(folder, 'bin', os === 'win32' ? 'peerbroker.exe' : 'peerbroker');
  mkdirSync(dirname(copy));
  copyFileSync(program, copy);
  chmodSync(copy, 0o755);
}
