// PeerJS's own end-to-end tests, with WebdriverIO in Chromium, and in Firefox where there is a geckodriver.

import { cpSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { extname, join } from 'node:path';
import { CHROMIUM, UNWANTED, quiet } from '../../client-tests/lib/chromium.mjs';
import { FIREFOX } from '../../client-tests/lib/firefox.mjs';
import { startServer } from '../../client-tests/lib/server.mjs';
import { find } from '../../client-tests/lib/shipped-proxy.mjs';
import { need } from './programs.mjs';
import { Skipped, below, npmPackages, output } from './tools.mjs';

const VERSION = '1.5.5';
const PACKAGES = [
  ...['cli', 'globals', 'jasmine-framework', 'local-runner'].map((name) => `@wdio/${name}@8.46.0`),
  '@wdio/spec-reporter@8.43.0', `peerjs@${VERSION}`, 'chai@4.3.7', 'typescript@5.9.3',
];

/** The tests take their key from this variable, but leave it out once, and PeerJS then sends this one. */
const KEY = { BYPASS_WAF: 'null' };

const MEDIA_TYPES = { '.css': 'text/css', '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript' };

/** A file of the site of the tests, with the address of the server, and of a library that they load from a CDN. */
function read(folder, path, server) {
  const file = path.startsWith('/dist/') ? join(folder, 'node_modules/peerjs', path) : join(folder, path);
  return readFileSync(file, 'utf8')
    .replace(/(CLOUD_HOST ?= ?)"0\.peerjs\.com"(, ?this\.CLOUD_PORT ?= ?)443/, `$1"${server.host}"$2${server.port}`)
    .replace(/https:\/\/esm\.sh\/[^"]*chai[^"]*/, '/chai.mjs');
}

async function startSite(folder, server) {
  const site = createServer((request, response) => {
    const path = new URL(request.url, 'http://localhost').pathname;
    try {
      const text = read(folder, path, server);
      response.writeHead(200, { 'Content-Type': MEDIA_TYPES[extname(path)] }).end(text);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((listening) => site.listen(0, '127.0.0.1', listening));
  return site;
}

/** Copies the tests to where they find WebdriverIO, and removes their types. */
function prepare(source, folder) {
  const tests = join(folder, 'e2e');
  rmSync(tests, { recursive: true, force: true });
  cpSync(source, tests, { recursive: true });
  const require = createRequire(join(folder, 'package.json'));
  const ts = require('typescript');
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
  for (const file of readdirSync(tests, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))) {
    const path = join(tests, file);
    writeFileSync(path.replace(/ts$/, 'js'), ts.transpileModule(readFileSync(path, 'utf8'), { compilerOptions }).outputText);
  }
  // It is a script that sets a global variable.
  writeFileSync(join(folder, 'chai.mjs'), `${readFileSync(require.resolve('chai/chai.js'), 'utf8')}\nexport const { expect } = window.chai;\n`);
}

function capabilities() {
  const all = [];
  try {
    need(CHROMIUM);
    const args = ['headless', ...quiet.map((flag) => flag.slice(2)), `disable-features=${UNWANTED.join()}`, 'allow-loopback-in-peer-connection'];
    all.push({
      browserName: 'chrome',
      'goog:chromeOptions': { binary: CHROMIUM, args },
      'wdio:chromedriverOptions': { binary: find('chromedriver') },
    });
  } catch {}
  try {
    need(FIREFOX);
    const prefs = {
      'media.peerconnection.ice.loopback': true,
      'media.peerconnection.ice.obfuscate_host_addresses': false,
      'media.autoplay.default': 0,
    };
    all.push({
      browserName: 'firefox',
      'moz:firefoxOptions': { binary: FIREFOX, args: ['-headless'], prefs },
      'wdio:geckodriverOptions': { binary: find('geckodriver') },
    });
  } catch {}
  if (all.length === 0) throw new Skipped('there is neither Chromium with chromedriver nor Firefox with geckodriver');
  return all.map((one) => ({ acceptInsecureCerts: true, ...one }));
}

export async function peerjsE2e() {
  const source = join(process.env.PEERJS_SOURCE ?? below('peerjs'), 'e2e');
  if (!existsSync(source)) throw new Skipped(`there is no ${source}: set PEERJS_SOURCE to a copy of PeerJS's repository at v${VERSION}`);
  const browsers = capabilities();
  const folder = await npmPackages('peerjs-e2e', ...PACKAGES);
  prepare(source, folder);
  // PeerJS always asks its own server over TLS.
  const server = await startServer(['--key', KEY.BYPASS_WAF], { tls: true });
  const site = await startSite(folder, server);
  try {
    const ours = {
      baseUrl: `http://localhost:${site.address().port}`,
      specs: [join(folder, 'e2e/**/*.spec.js')],
      capabilities: browsers,
      maxInstances: 1,
      logLevel: 'warn',
    };
    const config = join(folder, 'wdio.conf.mjs');
    writeFileSync(config, `import { config as theirs } from './e2e/wdio.shared.conf.js';\nexport const config = { ...theirs, ...${JSON.stringify(ours)} };\n`);
    const wdio = join(folder, 'node_modules/@wdio/cli/bin/wdio.js');
    const { code, text } = await output('peerjs-e2e', process.execPath, [wdio, 'run', config], { cwd: folder, env: { ...process.env, ...KEY } });
    if (code !== 0) throw new Error(`see ${below('peerjs-e2e.log')}`);
    const count = Array.from(text.matchAll(/(\d+) passing/g), ([, one]) => Number(one)).reduce((sum, one) => sum + one, 0);
    return `${count} tests in ${browsers.map(({ browserName }) => browserName).join(' and ')}`;
  } finally {
    site.close();
    await server.stop();
  }
}
