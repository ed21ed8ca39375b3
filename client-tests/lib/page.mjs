// A page with a script that plays a part (window.harness), seen from a test. All waiting happens in
// the page (log.js).

export class Page {
  #page;

  /** Loads the page; what it does is up to the test. */
  static async load(page, url) {
    const loaded = new this(page);
    await page.goto(url);
    return loaded;
  }

  constructor(page) {
    this.#page = page;
  }

  /** Calls a method of the script. */
  ask(method, argument) {
    return this.#page.evaluate(([name, value]) => window.harness[name](value), [method, argument]);
  }

  /** Runs a function in the page. */
  run(script, argument) {
    return this.#page.evaluate(script, argument);
  }

  /** Waits for the next event of one of these names: `{name, detail}`. */
  next(...names) {
    return this.ask('next', names);
  }

  /** Waits for one event, failing at once if there is an error; resolves with its detail. */
  must(name) {
    return this.ask('must', name);
  }

  /** How many events of this name there were, waited for or not. */
  count(name) {
    return this.ask('count', name);
  }

  /** Answers to the next `prompt()` with what a function resolves with. */
  async onPrompt(think) {
    const dialog = await this.#page.waitForEvent('dialog');
    await dialog.accept(await think());
  }

  story() {
    return this.ask('story');
  }

  close() {
    return this.#page.close();
  }
}
