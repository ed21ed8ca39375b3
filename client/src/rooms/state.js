// The state of a room: names with JSON values that all members share. The broker puts all writes in order.

/** Most tries of an update of which others were faster each time. */
const TRIES = 100;

/** Milliseconds before another attempt. */
export const PAUSE = 2_000;

/** Refusals only because many ask at once, as after a restart. */
export const PASSING = new Set(['too_fast', 'key_too_fast']);

/** The version of a name that the broker has not, or not again. */
const NONE = 0;

export class State {
  /** The value of each name, with its version. */
  #entries = new Map();
  #write;
  #tell;

  /** @param {(name: string, value: unknown, version?: number) => Promise<void>} write @param {(change: object) => void} tell */
  constructor(write, tell) {
    this.#write = write;
    this.#tell = tell;
  }

  get(name) {
    return this.#entries.get(name)?.value;
  }

  has(name) {
    return this.#entries.has(name);
  }

  get size() {
    return this.#entries.size;
  }

  /** @returns {Generator<[string, unknown], void>} */
  * [Symbol.iterator]() {
    for (const [name, { value }] of this.#entries) yield [name, value];
  }

  async set(name, value) {
    if (value === undefined) throw new TypeError(`The value of "${name}" is undefined: delete("${name}") takes a name away`);
    await this.#write(name, value);
  }

  async delete(name) {
    await this.#write(name, undefined);
  }

  async update(name, change) {
    for (let tries = 1; ; tries += 1) {
      const { value, version } = this.#entries.get(name) ?? { version: NONE };
      const text = JSON.stringify(value);
      // A copy, because the page may change it.
      const former = value === undefined ? value : JSON.parse(text);
      const next = change(former);
      // Of many that are too late, none writes the winner again.
      if (next === former && JSON.stringify(next) === text) return next;
      try {
        await this.#write(name, next, version);
        return next;
      } catch (error) {
        if (error.type !== 'state_changed' || tries === TRIES) throw error;
      }
    }
  }

  /** A member has written. @param {{ name: string, value?: unknown, version?: number, id?: string }} entry */
  hear({ name, value, version, id }) {
    const former = this.get(name);
    if (value === undefined) this.#entries.delete(name);
    else this.#entries.set(name, { value, version });
    if (former !== undefined || value !== undefined) this.#tell({ name, value, former, from: id });
  }

  /** The whole state, as the broker has it. The differences are told: not by versions, which begin again after a restart. */
  hearAll(entries) {
    const names = new Set(entries.map(({ name }) => name));
    for (const [name, { version }] of [...this.#entries]) if (version !== NONE && !names.has(name)) this.hear({ name });
    for (const entry of entries) {
      const known = this.#entries.get(entry.name);
      if (known && JSON.stringify(known.value) === JSON.stringify(entry.value)) known.version = entry.version;
      else this.hear(entry);
    }
  }

  /** Writes again what the broker has forgotten, as after a restart, and what no other member has written since. */
  restore(entries) {
    const names = new Set(entries.map(({ name }) => name));
    for (const [name, entry] of this.#entries) {
      if (names.has(name)) continue;
      entry.version = NONE;
      this.#restore(name, entry);
    }
    this.hearAll(entries);
  }

  async #restore(name, entry) {
    // Otherwise another member was faster, or the broker has it.
    const isMissing = () => this.#entries.get(name) === entry && entry.version === NONE;
    try {
      if (isMissing()) await this.#write(name, entry.value, NONE);
    } catch ({ type }) {
      if (PASSING.has(type) || type === 'disconnected') setTimeout(() => this.#restore(name, entry), PAUSE);
      else if (type !== 'not_member' && isMissing()) this.hear({ name });
    }
  }
}
