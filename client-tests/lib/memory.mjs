// The memory of processes.

import { readFileSync } from 'node:fs';

/** The most memory that a process has had, in MiB. */
export function peakOf(pid) {
  const [, kibibytes] = readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmHWM:\s+(\d+) kB$/m);
  return Math.round(Number(kibibytes) / 1024);
}
