// Controls a page and its script (window.harness) from a test. The script waits without limit; the
// timeout is here.

import { borrowPage, returnPage } from './browser.mjs';
import { within } from './within.mjs';

export class Page {
  #page;
  #release;
  #listeners = [];

  /** Loads the page in the named browser. */
  static async load(browser, url) {
    const page = await borrowPage(browser);
    return this.open(page, url, () => returnPage(browser, page));
  }

  /** Loads the page in a browser's page, which `release` gets back afterwards. */
  static async open(page, url, release) {
    const loaded = new this(page, release);
    await within(`${url} to load`, page.goto(url));
    return loaded;
  }

  constructor(page, release) {
    this.#page = page;
    this.#release = release;
  }

  /** Listens to an event of the browser's page until the test is over. */
  listen(event, listener) {
    this.#page.on(event, listener);
    this.#listeners.push([event, listener]);
  }

  /** Calls a method of the script. */
  ask(method, argument) {
    const call = () => `${method}(${JSON.stringify(argument) ?? ''}) in a page`;
    return within(call, this.#page.evaluate(([name, value]) => window.harness[name](value), [method, argument]));
  }

  /** Runs a function in the page. */
  run(script, argument) {
    return within(() => `a page to run ${script}`, this.#page.evaluate(script, argument));
  }

  /** Waits for the next event of one of these names: `{name, detail}`. */
  next(...names) {
    return this.ask('next', names);
  }

  /** Waits for one event, failing at once if there is an error; resolves with its detail. */
  must(name) {
    return this.ask('must', name);
  }

  /** The number of events of this name, waited for or not. */
  count(name) {
    return this.ask('count', name);
  }

  /** Answers the next `prompt()` with the result of a function. */
  async onPrompt(think) {
    const dialog = await within('a prompt', this.#page.waitForEvent('dialog'));
    await dialog.accept(await think());
  }

  story() {
    return this.ask('story');
  }

  /** Closes the page like a person. */
  close() {
    return within('a page to close', this.#page.close());
  }

  /** Releases the browser's page for another test. */
  async stop() {
    for (const [event, listener] of this.#listeners) this.#page.off(event, listener);
    if (!this.#page.isClosed()) await this.#release();
  }
}
