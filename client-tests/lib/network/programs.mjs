// Programs of the tests that run on the machines of a network.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { within } from '../within.mjs';

/** In its namespace a machine has every port to itself. */
const PAGES = 8000;

/** Where the pages of `startPagesOn` are for a host. */
export const originOn = (network, host) => `http://${network.addressFor(host)}:${PAGES}`;

/** Serves the pages of `startPages` on the server of a network. */
export const startPagesOn = (network) => start(network.server, 'serve.mjs', network.listen, PAGES);

/** Runs a script of this folder until its machine goes, or we do. */
async function start(machine, script, ...words) {
  const [program, all] = machine.command(process.execPath, join(import.meta.dirname, script), ...words);
  const child = spawn(program, all, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const died = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`${script} ended: ${signal ?? code}`);
  });
  died.catch(() => {});
  await within(`${script} to start`, Promise.race([once(child, 'message'), died]));
}

/** Ready when something listens at a port of a machine. */
export const listensOn = (machine, address, port) => run(machine, ({ address, port }) => new Promise((done) => {
  const look = () => require('node:net').connect(port, address)
    .on('connect', () => done(true))
    .on('error', () => setTimeout(look, 50));
  look();
}), { address, port });

/** Runs a function in a node on a machine; resolves with its result. */
function run(machine, script, argument) {
  const source = `(${script})(${JSON.stringify(argument)}).then((result) => process.send(result, () => process.exit()))`;
  const [program, words] = machine.command(process.execPath, '-e', source);
  const child = spawn(program, words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const answered = once(child, 'message').then(([result]) => result);
  return within(`an answer on ${machine.name}`, answered).finally(() => child.kill());
}
