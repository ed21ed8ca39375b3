// The memory of processes.

import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');

/** Frees what nothing in this process refers to. @type {() => void} */
export const gc = runInNewContext('gc');

/** The most memory that a process has had, in MiB. */
export function peakOf(pid) {
  const [, kibibytes] = readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmHWM:\s+(\d+) kB$/m);
  return Math.round(Number(kibibytes) / 1024);
}
