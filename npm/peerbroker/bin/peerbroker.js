#!/usr/bin/env node
// Runs the program of this platform, with the same arguments, environment, stdin, signals and exit code.
'use strict';

const { spawn } = require('node:child_process');
const { readFileSync } = require('node:fs');
const { constants } = require('node:os');
const { isatty } = require('node:tty');
const { findProgram, startError, OTHER_WAYS } = require('../lib/find.js');

// In milliseconds.
const LOOK_EVERY = 500;

const isWindows = process.platform === 'win32';

/** @returns {never} */
function fail(sentence) {
  console.error(`error: ${sentence}`);
  process.exit(1);
}

// The program gets these from the terminal, and a second one would end it at once. npx even forwards the terminal's SIGINT to us.
/** @type {NodeJS.Signals[]} */
const fromTerminal = ['SIGINT', 'SIGQUIT'];
const hasTerminal = [0, 1, 2].some(isatty);

/** @type {NodeJS.Signals[]} */
const forwarded = [...fromTerminal, 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'];
for (const signal of forwarded) {
  process.on(signal, () => {
    // On Windows the console tells the program itself, and `kill` would end it at once.
    if (isWindows || (hasTerminal && fromTerminal.includes(signal))) return;
    program.kill(signal);
  });
}

/** The process that started this one, and that which started the `sh` between npm and this one. */
function ancestors() {
  let npm;
  try {
    [, npm] = readFileSync(`/proc/${process.ppid}/stat`, 'utf8').match(/^\d+ \(sh\) \S (\d+)/);
  } catch {
    // There is no such file, or no shell: macOS has one that becomes the launcher.
  }
  return `${process.ppid} ${npm}`;
}

/** npm forwards signals to its shell at most, which ends without the launcher. Nobody is told of that, so this looks. */
function endWithNpm() {
  const before = ancestors();
  const timer = setInterval(() => {
    if (ancestors() === before) return;
    clearInterval(timer);
    program.kill('SIGTERM');
  }, LOOK_EVERY);
}

let path;
try {
  path = findProgram();
} catch ({ message }) {
  fail(message);
}
const program = spawn(path, process.argv.slice(2), { stdio: 'inherit' });
program.once('error', (error) => fail(`${path} ${startError(path, error)}. Otherwise ${OTHER_WAYS}`));
if (process.env.npm_lifecycle_event && !isWindows) endWithNpm();
program.once('exit', (code, signal) => {
  if (!signal) process.exit(code);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // For a signal that does not end Node.
  process.exitCode = 128 + constants.signals[signal];
});
