// Autobahn's fuzzing client against the server's own transport, over plain TCP and TLS.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from '../../scripts/test/log.mjs';
import { Skipped, below, output, pythonPackages } from './tools.mjs';

const SUITE = 'autobahntestsuite==25.10.1';

const AT_ITS_END = ['6.4.1', '6.4.2', '6.4.3', '6.4.4'];
/** Accepted cases that Autobahn prefers otherwise. README.md says why. */
const NON_STRICT = {
  ws: AT_ITS_END,
  wss: [...AT_ITS_END, '3.2', '3.3', '3.4', '4.1.3', '4.1.4', '4.1.5', '4.2.3', '4.2.4', '4.2.5', '5.15'],
};

/** True if this result is as README.md says. The server does not negotiate permessage-deflate, of sections 12 and 13. */
function isExpected(agent, number, { behavior, behaviorClose }) {
  if (behavior === 'UNIMPLEMENTED') return /^1[23]\./.test(number);
  if (behavior === 'NON-STRICT') return NON_STRICT[agent].includes(number);
  return ['OK', 'INFORMATIONAL'].includes(behavior) && ['OK', 'INFORMATIONAL'].includes(behaviorClose);
}

/** Only Python 2.7 runs the suite. */
function python2() {
  const versions = join(process.env.PYENV_ROOT ?? join(homedir(), '.pyenv'), 'versions');
  const ofPyenv = existsSync(versions) ? readdirSync(versions).map((version) => join(versions, version, 'bin')) : [];
  const places = [...(process.env.PATH ?? '').split(':'), ...ofPyenv];
  const found = places.map((place) => join(place, 'python2.7')).filter((path) => existsSync(path) && !path.includes('/shims/'));
  if (found.length === 0) throw new Skipped('there is no Python 2.7');
  return found[0];
}

/** Starts the unit test that sends everything back. Resolves with its two ports. */
async function startEcho() {
  const words = ['cargo', 'test', '--locked', '--release', '--workspace', '--lib', '--', '--ignored', '--nocapture', '--exact', 'server::tests::echo_for_conformance'];
  const child = spawn('scripts/with-tests.sh', words, { cwd: root, stdio: ['pipe', 'pipe', 'ignore'] });
  const ports = [];
  for await (const line of createInterface(child.stdout)) {
    ports.push(...Array.from(line.matchAll(/\bport (\d+)/g), ([, port]) => port));
    if (ports.length === 2) return { ports, stop: () => child.stdin.end() };
  }
  throw new Error('the echo server did not start: make build-tests');
}

export async function autobahn() {
  const python = python2();
  const env = await pythonPackages(python, SUITE);
  const { ports, stop } = await startEcho();
  const reports = below('autobahn');
  rmSync(reports, { recursive: true, force: true });
  const servers = ['ws', 'wss'].map((scheme, at) => ({
    agent: scheme,
    url: `${scheme}://127.0.0.1:${ports[at]}/peerjs?key=peerjs&id=${scheme}&token=t&echo`,
  }));
  writeFileSync(below('autobahn.json'), JSON.stringify({ outdir: reports, servers, cases: ['*'], 'exclude-cases': [], 'exclude-agent-cases': {} }));
  try {
    // One of its packages is found by a `.pth` file only.
    const run = 'import os, site; site.addsitedir(os.environ["PYTHONPATH"]); from autobahntestsuite import wstest; wstest.run()';
    await output('autobahn', python, ['-c', run, '-m', 'fuzzingclient', '-s', below('autobahn.json')], { env });
  } finally {
    stop();
  }
  const results = Object.entries(JSON.parse(readFileSync(join(reports, 'index.json'), 'utf8')));
  const bad = results.flatMap(([agent, cases]) => Object.entries(cases)
    .filter(([number, result]) => !isExpected(agent, number, result))
    .map(([number, { behavior, behaviorClose }]) => `${agent} ${number} ${behavior}/${behaviorClose}`));
  const counted = results.map(([agent, cases]) => {
    const all = Object.values(cases).map(({ behavior }) => behavior);
    return `${agent} ${[...new Set(all)].map((kind) => `${all.filter((one) => one === kind).length} ${kind}`).join(', ')}`;
  }).join('; ');
  if (bad.length > 0 || results.length < servers.length) throw new Error(`${counted}. Not as expected: ${bad.join(', ')}`);
  return counted;
}
