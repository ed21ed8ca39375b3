// The kinds of tests: how to run all of a kind, and how one by itself.

import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { Log, OUTPUTS, root } from './log.mjs';

/**
 * @typedef {{ name: string, seconds?: number, outcome: 'passed' | 'failed' | 'skipped' }} Test
 * @typedef {object} Kind
 * @property {string} name before the name of each test
 * @property {string} title
 * @property {number} minutes about, on two cores, beside the others of its time
 * @property {string[]} builds targets of the Makefile
 * @property {boolean} [isAlone] it measures, so it runs when all others have ended; these run beside each other
 * @property {boolean} [isShown] its output is a table, which is printed at once
 * @property {RegExp} [hides] lines of the output that say nothing of a failure
 * @property {(log: import('./log.mjs').Log, words: string[]) => Promise<Test[]>} run with words that choose tests
 * @property {(name: string, log: import('./log.mjs').Log) => Promise<boolean>} again true if it passes
 */

const PROGRAM = { PEERBROKER_BIN: join(root, 'target/release/peerbroker') };
const cargo = (log, words, options) => log.run('scripts/with-tests.sh', ['cargo', ...words], options);
// As TESTED in the Makefile: with less, packages have fewer features, and are compiled once more.
const TESTED = ['--locked', '--release', '--workspace'];

function fail(code) {
  throw new Error(`could not run (exit code ${code})`);
}

/** nextest's file of results, in the format of JUnit. */
const JUNIT = join(root, 'target/nextest/default/junit.xml');
/** nextest's exit code if tests failed. */
const TESTS_FAILED = 100;
/** Every night, also what tests/nextest.toml leaves out. */
const WHICH = ['--config-file', 'tests/nextest.toml', ...(process.env.THOROUGH ? ['--ignore-default-filter'] : [])];
/** Most tests wait for something, so as many run at once for each core. */
const PER_CORE = 4;

/** @type {Kind} */
const rust = {
  name: 'rust',
  title: 'Rust tests',
  minutes: 5,
  builds: ['build-tests'],
  async run(log, words) {
    rmSync(JUNIT, { force: true });
    const threads = String(availableParallelism() * PER_CORE);
    const code = await cargo(log, ['nextest', 'run', ...TESTED, ...WHICH, '--test-threads', threads, ...words]);
    if (code !== 0 && code !== TESTS_FAILED) fail(code);
    const cases = readFileSync(JUNIT, 'utf8').matchAll(/<testcase ([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs);
    return Array.from(cases, ([, attributes, inside = '']) => {
      const of = (name) => attributes.match(new RegExp(`\\b${name}="([^"]*)"`))?.[1];
      const outcome = /<(failure|error)\b/.test(inside) ? 'failed' : 'passed';
      return { name: `${of('classname')} ${of('name')}`, seconds: Number(of('time')), outcome };
    });
  },
  async again(name, log) {
    const [binary, test] = name.split(' ');
    const filter = `binary_id(=${binary}) & test(=${test})`;
    return (await cargo(log, ['nextest', 'run', ...TESTED, ...WHICH, '--test-threads', '1', '-E', filter])) === 0;
  },
};

/** The name of a failure that is none of an example. */
const UNREAD = 'all pages can be read';

/** Runs all examples of the documentation. @returns {Promise<Test[]>} */
async function runExamples(log) {
  const code = await cargo(log, ['test', ...TESTED, '--doc', '--no-fail-fast']);
  const found = log.lines.map((line) => line.match(/^test (.*) \.\.\. (ok|FAILED|ignored)$/)).filter(Boolean);
  if (found.length === 0) fail(code);
  const outcomes = { ok: 'passed', FAILED: 'failed', ignored: 'skipped' };
  const tests = found.map(([, name, outcome]) => ({ name, outcome: outcomes[outcome] }));
  // Examples that rustdoc refuses to compile have no line of their own.
  if (code !== 0 && !tests.some(({ outcome }) => outcome === 'failed')) tests.push({ name: UNREAD, outcome: 'failed' });
  return tests;
}

/** @type {Kind} */
const example = {
  name: 'example',
  title: 'examples of the documentation',
  minutes: 0,
  builds: ['build-tests'],
  run: runExamples,
  // All of them: rustdoc cannot run one by its name, which has spaces.
  again: async (name, log) => !(await runExamples(log)).some(({ outcome }) => outcome === 'failed'),
};

const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Files of browser tests that run at once: they mostly wait, too. */
const FILES_AT_ONCE = 7;
/** The files that take the longest begin first, so that no file runs alone at the end. */
const LONGEST = ['relay', 'party', 'pages', 'call', 'dashboard', 'turn', 'matrix', 'accessibility', 'restarts', 'npx'];
const BROWSERS = 'client-tests';
/** The longest time of a file, in minutes. On a slow machine, beside the others, the longest takes ten. */
const FILE_MINUTES = 20;
/** How often the files that run are named, in minutes. */
const NAMED_EVERY = 3;

/** Runs a file of browser tests. @returns {Promise<Test[]>} */
async function runFile(file, words, log) {
  const results = join(OUTPUTS, `${file}.jsonl`);
  rmSync(results, { force: true });
  const reporters = ['spec', 'stdout', './lib/results.mjs', results].map((word, i) => `--test-reporter${i % 2 ? '-destination' : ''}=${word}`);
  // A file ends with its tests, whatever they have left open.
  const code = await log.run('node', ['--test', '--test-force-exit', ...reporters, ...words, `tests/${file}`], {
    cwd: BROWSERS, env: PROGRAM, minutes: FILE_MINUTES,
  });
  const lines = readFileSync(results, { encoding: 'utf8', flag: 'a+' }).split('\n').filter(Boolean);
  const tests = lines.map((line) => JSON.parse(line)).map(({ name, ...rest }) => ({ name: `${file} ${name}`, ...rest }));
  // A file that does not load has no tests, and one that is stopped has no failed one.
  if (code !== 0 && !tests.some(({ outcome }) => outcome === 'failed')) tests.push({ name: `${file} `, outcome: 'failed' });
  return tests;
}

function longestFirst(files) {
  const long = LONGEST.map((name) => `${name}.test.mjs`);
  return [...long, ...files.filter((file) => !long.includes(file))];
}

/** @type {Kind} */
const browser = {
  name: 'browser',
  title: 'browser tests',
  // Beside the Rust tests.
  minutes: 0,
  builds: ['build-tests', 'browser-libraries'],
  hides: /^\s*(✔|﹣)/,
  async run(log, words) {
    const code = await log.run('npm', ['run', 'pretest'], { cwd: BROWSERS, minutes: FILE_MINUTES });
    if (code !== 0) fail(code);
    const isFile = (word) => word.endsWith('.test.mjs');
    const named = words.filter(isFile).map((word) => basename(word));
    const files = named.length > 0 ? named : longestFirst(readdirSync(join(root, BROWSERS, 'tests')).filter(isFile));
    const all = [];
    const running = new Set();
    const work = async () => {
      for (let file = files.shift(); file; file = files.shift()) {
        running.add(file);
        const own = new Log(file);
        const tests = await runFile(file, words.filter((word) => !isFile(word)), own);
        if (tests.some(({ outcome }) => outcome === 'failed')) log.lines.push(...own.lines);
        all.push(...tests);
        running.delete(file);
      }
    };
    const naming = setInterval(() => {
      console.log(`browser tests: ${all.length} have ended, ${files.length} files wait, these run: ${[...running].join(', ')}`);
    }, NAMED_EVERY * 60_000);
    await Promise.all(Array.from({ length: FILES_AT_ONCE }, work));
    clearInterval(naming);
    return all;
  },
  async again(name, log) {
    const [, file, test] = name.match(/^(\S+) (.*)$/);
    const tests = await runFile(file, test ? [`--test-name-pattern=^${escape(test)}$`] : [], log);
    return tests.every(({ outcome }) => outcome !== 'failed') && tests.some((one) => (one.name === name || !test) && one.outcome === 'passed');
  },
};

/** @returns {Kind} a kind whose binary prints a table: see tests/kit/src/rows.rs. */
function table(name, title, binary, more) {
  const run = (log, words) => cargo(log, ['test', ...TESTED, '--test', binary, '--', ...words], { env: PROGRAM });
  return {
    name,
    title,
    builds: ['build-tests'],
    isShown: true,
    ...more,
    async run(log, words) {
      const code = await run(log, words);
      if (log.lines.some((line) => line.startsWith('skipped: '))) return [{ name: binary, outcome: 'skipped' }];
      const passed = log.lines.map((line) => line.match(/^(\d+) passed, \d+ failed$/)).find(Boolean)?.[1];
      if (!passed) fail(code);
      const failed = log.lines.flatMap((line) => line.match(/^failed: (.*)$/)?.[1] ?? []);
      return [
        ...Array.from({ length: Number(passed) }, () => ({ name: '', outcome: /** @type {const} */ ('passed') })),
        ...failed.map((row) => ({ name: row, outcome: /** @type {const} */ ('failed') })),
      ];
    },
    again: async (row, log) => (await run(log, ['--exact', row])) === 0,
  };
}

const count = table('count', 'counts of instructions', 'instructions', { minutes: 1, isAlone: true });
const attack = table('attack', 'attacks', 'hostile', { minutes: 2, isAlone: true });

/** @type {Record<string, Kind>} */
export const KINDS = { rust, example, browser, count, attack };
