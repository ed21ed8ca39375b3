// Peers that are programs: lines of a shell with `peerbroker listen` or `connect` in them, and an example of crates/peer.

import { delimiter, dirname, join } from 'node:path';
import { Run } from './run.mjs';
import { scratch } from './scratch.mjs';
import { binary, plainEnvironment } from './server.mjs';
import { Stage } from './stage.mjs';
import { until } from './within.mjs';

const folderOfBinary = dirname(binary);

/** Sends back what it gets. */
export const ECHO = join(folderOfBinary, 'examples', 'echo');

export class ProgramStage extends Stage {
  /** Where the commands run, with their files. */
  folder = scratch();

  /** Starts a command of the shell at a broker. */
  shell({ port }, command) {
    const PATH = [folderOfBinary, process.env.PATH].join(delimiter);
    const env = { ...plainEnvironment(), PATH, PEERBROKER_BROKER: `http://127.0.0.1:${port}` };
    const run = new Run('sh', ['-c', command], { cwd: this.folder, env, stdin: 'pipe' });
    return this.keep('proxies', Object.assign(run, { stop: async () => run.kill() }));
  }

  /** The same with a listener, which can be found then. */
  async listener(broker, command) {
    const run = await this.shell(broker, command);
    await says(run, /^Listening as /);
    return run;
  }
}

/** Waits for a line on stderr. */
const says = (run, pattern) => until(`${pattern} on stderr`, () => run.errors.some((line) => pattern.test(line)));
