// Runs tests to their end, then each that failed once more by itself, and at most twice: one that passes then is FLAKY, and the run is
// green. `make test` and its parts call it.
//
// Usage: node scripts/test.mjs [KIND…] [-- WORDS]               all kinds, or some; WORDS choose tests of one kind
//        node scripts/test.mjs --repeat TIMES 'KIND: NAME'      one test, beside two busy loops
//
// The outputs of all parts are in target/tests, and the names of flaky tests in target/flaky.txt.

import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { KINDS } from './test/kinds.mjs';
import { Log, OUTPUTS, root } from './test/log.mjs';

/** A test that fails is run this often. */
const RUNS = 3;
/** Number of tests whose times are shown. */
const SLOWEST = 20;
/** Busy loops beside a test that is repeated. */
const BUSY = 2;

const FLAKY = join(root, 'target/flaky.txt');
const SUMMARY = join(OUTPUTS, 'summary.txt');

const since = Date.now();

function say(line) {
  const seconds = Math.round((Date.now() - since) / 1000);
  console.log(`[${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}] ${line}`);
}

const many = (count, what) => `${count.toLocaleString('en')} ${what}${count === 1 ? '' : 's'}`;
const isFailed = ({ outcome }) => outcome === 'failed';

/** Starts the builds that these kinds need, beside each other. Each resolves with true if it is done. */
function startBuilds(kinds) {
  const targets = new Set(kinds.flatMap(({ builds }) => builds));
  const start = async (target) => {
    const log = new Log(target);
    const code = await log.run('make', ['--no-print-directory', target]);
    if (code !== 0) log.print();
    say(`make ${target}: ${code === 0 ? 'done' : 'failed'}`);
    return code === 0;
  };
  return new Map(Array.from(targets, (target) => [target, start(target)]));
}

const areDone = async (kind, builds) => (await Promise.all(kind.builds.map((target) => builds.get(target)))).every(Boolean);

/** Runs all tests of a kind and adds them to `tests`, or itself to `broken` if they cannot be run. */
async function runAll(kind, words, builds, { tests, broken }) {
  if (!(await areDone(kind, builds))) {
    broken.push(`FAILED ${kind.title}: not built`);
    return;
  }
  const began = Date.now();
  const log = new Log(kind.name, { isShown: kind.isShown });
  try {
    const all = await kind.run(log, words);
    const failed = all.filter(isFailed);
    tests.push(...all.map((test) => ({ ...test, kind })));
    if (failed.length > 0 && !kind.isShown) log.print(kind.hides);
    const seconds = Math.round((Date.now() - began) / 1000);
    say(`${kind.title}: ${many(all.length, 'test')}, ${failed.length} failed, ${seconds} s`);
  } catch (error) {
    if (!kind.isShown) log.print();
    say(`${kind.title}: ${error.message}`);
    broken.push(`FAILED ${kind.title}: ${error.message}`);
  }
}

/** Runs a test that failed until it passes. Resolves with the number of that run, or with none. */
async function runAgain({ kind, name }) {
  for (let run = 2; run <= RUNS; run += 1) {
    const log = new Log(`${kind.name}-again`);
    say(`again, by itself: ${kind.name}: ${name}`);
    if (await kind.again(name, log)) return run;
    if (run === RUNS) log.print(kind.hides);
  }
  return null;
}

async function test(kinds, words) {
  for (const file of [FLAKY, SUMMARY]) rmSync(file, { force: true });
  const minutes = kinds.reduce((sum, kind) => sum + kind.minutes, 0);
  say(`${kinds.map(({ title }) => title).join(', ')}: on two cores about ${minutes} minutes, and up to six more for builds.`);
  const builds = startBuilds(kinds);
  const [tests, flaky, red] = [[], [], []];
  const run = (kind) => runAll(kind, words, builds, { tests, broken: red });
  // Tests beside a build would make it later, and what waits for it too; together, tests that mostly wait fill the processors.
  await Promise.all(builds.values());
  await Promise.all(kinds.filter(({ isAlone }) => !isAlone).map(run));
  for (const kind of kinds.filter(({ isAlone }) => isAlone)) await run(kind);

  for (const failed of tests.filter(isFailed)) {
    const run = await runAgain(failed);
    const name = `${failed.kind.name}: ${failed.name}`;
    if (run) flaky.push(`FLAKY ${name} (passed on run ${run})`);
    else red.push(`FAILED ${name} (${RUNS} runs)`);
  }
  const timed = tests.filter(({ seconds }) => seconds > 0).sort((a, b) => b.seconds - a.seconds);
  if (timed.length > 0) console.log('\nSlowest tests:');
  for (const { kind, name, seconds } of timed.slice(0, SLOWEST)) console.log(`${seconds.toFixed(1).padStart(7)} s  ${kind.name}: ${name}`);
  const skipped = tests.filter(({ outcome }) => outcome === 'skipped').length;
  const passed = tests.filter(({ outcome }) => outcome === 'passed').length + flaky.length;
  const lines = [...flaky, ...red, `${passed} passed, ${red.length} failed, ${skipped} skipped`];
  console.log(`\n${lines.join('\n')}`);
  writeFileSync(FLAKY, flaky.map((line) => `${line}\n`).join(''));
  writeFileSync(SUMMARY, `${lines.join('\n')}\n`);
  return red.length === 0 && passed > 0 ? 0 : 1;
}

async function repeat(times, wanted) {
  const [, kindName, name] = wanted.match(/^(\w+): (.+)$/) ?? [];
  const kind = KINDS[kindName];
  if (!kind) {
    console.error(`error: ${wanted}: expected KIND: NAME with one of ${Object.keys(KINDS).join(', ')}, as a run prints it`);
    return 2;
  }
  if (!(await areDone(kind, startBuilds([kind])))) return 1;
  const busy = Array.from({ length: BUSY }, () => spawn(process.execPath, ['-e', 'for (;;);']));
  let failed = 0;
  try {
    for (let run = 1; run <= times; run += 1) {
      const log = new Log(`${kind.name}-${run}`);
      const passed = await kind.again(name, log);
      if (!passed) failed += 1;
      say(`run ${run}: ${passed ? 'passed' : `failed, see ${log.path}`}`);
    }
  } finally {
    busy.forEach((loop) => loop.kill());
  }
  console.log(`${failed} of ${times} runs failed`);
  return failed > 0 ? 1 : 0;
}

const end = process.argv.indexOf('--');
const [own, words] = end < 0 ? [process.argv.slice(2), []] : [process.argv.slice(2, end), process.argv.slice(end + 1)];
const { values, positionals } = parseArgs({ args: own, allowPositionals: true, options: { repeat: { type: 'string' } } });
mkdirSync(OUTPUTS, { recursive: true });
if (values.repeat) {
  process.exitCode = await repeat(Number(values.repeat), positionals.join(' '));
} else {
  const unknown = positionals.find((name) => !KINDS[name]);
  if (unknown) {
    console.error(`error: ${unknown} is no kind of test: expected some of ${Object.keys(KINDS).join(', ')}`);
    process.exitCode = 2;
  } else {
    const kinds = positionals.length > 0 ? positionals.map((name) => KINDS[name]) : Object.values(KINDS);
    process.exitCode = await test(kinds, words);
  }
}
