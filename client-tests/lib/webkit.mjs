// WebKitGTK's MiniBrowser, over WebDriver, on a screen that nobody sees. It has one window.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Run } from './run.mjs';
import { freePort } from './shipped-proxy.mjs';
import { PATIENCE, until, within } from './within.mjs';

/** Both are packages of Debian: webkit2gtk-driver and xvfb. */
export const WEBKIT = process.env.WEBKIT_DRIVER_BIN ?? '/usr/bin/WebKitWebDriver';
export const SCREEN = '/usr/bin/Xvfb';

/** Commands of W3C's WebDriver. */
class Driver {
  #url;

  constructor(port) {
    this.#url = `http://127.0.0.1:${port}`;
  }

  async ask(method, path, body = undefined) {
    const answer = await fetch(this.#url + path, { method, body: body && JSON.stringify(body) });
    const { value } = await answer.json();
    if (!answer.ok) throw new Error(`${method} ${path}: ${value.error}: ${value.message}`);
    return value;
  }

  isReady() {
    return this.ask('GET', '/status').then(({ ready }) => ready, () => false);
  }
}

/** Has of Playwright's pages what tests use. */
class Page {
  #driver;
  #session;

  constructor(driver, session) {
    this.#driver = driver;
    this.#session = `/session/${session}`;
  }

  goto(url) {
    return this.#driver.ask('POST', `${this.#session}/url`, { url });
  }

  /** Calls a function in the page. */
  async evaluate(run, argument = null) {
    const script = `
      const [argument, done] = arguments;
      Promise.resolve(argument).then(${run}).then((value) => done({ value }), (error) => done({ error: String(error) }));`;
    const { value, error } = await this.#driver.ask('POST', `${this.#session}/execute/async`, { script, args: [argument] });
    if (error) throw new Error(error);
    return value;
  }

  close() {
    return this.#driver.ask('DELETE', this.#session);
  }
}

/** Starts it. Resolves with its version and its page. */
export async function launchWebKit() {
  const home = mkdtempSync(join(tmpdir(), 'peerbroker-webkit-'));
  const programs = [];
  const end = () => {
    for (const program of programs) program.kill();
    rmSync(home, { recursive: true, force: true });
  };
  const start = (path, words, env) => {
    const program = new Run(path, words, { cwd: home, env });
    programs.push(program);
    return program;
  };
  try {
    // It takes a free number, and prints it.
    const screen = start(SCREEN, ['-displayfd', '1', '-screen', '0', '1280x800x24', '-nolisten', 'tcp'], process.env);
    const [number] = await screen.line(/^\d+$/);
    const port = await freePort();
    // Nothing of this user's: neither settings nor a bus.
    const { PATH, LANG } = process.env;
    start(WEBKIT, [`--port=${port}`], { PATH, LANG, HOME: home, XDG_RUNTIME_DIR: home, DISPLAY: `:${number}` });
    const driver = new Driver(port);
    await until(`${WEBKIT} to listen`, () => driver.isReady());
    const { sessionId, capabilities } = await within('MiniBrowser to start', driver.ask('POST', '/session', {
      capabilities: { alwaysMatch: { browserName: 'MiniBrowser', timeouts: { script: PATIENCE, pageLoad: PATIENCE } } },
    }));
    const page = new Page(driver, sessionId);
    const close = () => within('MiniBrowser to end', page.close()).finally(end);
    return { version: capabilities.browserVersion, page, close };
  } catch (error) {
    end();
    throw error;
  }
}
