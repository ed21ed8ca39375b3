// The server's numbers and events, as it sends them. EventSource reconnects by itself, unless the server refuses it.

import { ApiError, api } from './api.js';

const KEPT = 300;
const KEPT_EVENTS = 200;
const RETRY = 2_000;

class Live extends EventTarget {
  /** Samples of the last five minutes, the oldest first. */
  samples = [];
  /** Events since this page was opened, the newest first, each with its time. */
  events = [];
  /** Why the server should not get clients; `undefined` while it is not known. */
  unready;
  /** Events that the server left out, because there were too many. */
  skipped = 0;
  #source;
  #retry;

  start() {
    this.stop();
    this.#tell('connecting', 'Connecting…');
    const source = new EventSource('/api/live');
    this.#source = source;
    source.addEventListener('history', ({ data }) => {
      this.samples = JSON.parse(data).samples;
      this.dispatchEvent(new Event('history'));
    });
    source.addEventListener('tick', ({ data }) => this.#take(JSON.parse(data)));
    source.addEventListener('error', () => {
      if (source !== this.#source) return;
      this.#tell('lost', 'The server does not answer. Trying again…');
      if (source.readyState === EventSource.CLOSED) this.#askWhy();
    });
  }

  stop() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = undefined;
  }

  #take({ sample, unready, events, skipped }) {
    // A server that has started again counts from zero.
    if (this.samples.at(-1)?.uptime > sample.uptime) this.samples = [];
    this.samples.push(sample);
    this.samples = this.samples.slice(-KEPT);
    const at = Date.now();
    this.events = [...events.map((event) => ({ ...event, at })).reverse(), ...this.events].slice(0, KEPT_EVENTS);
    this.skipped += skipped;
    this.unready = unready;
    if (unready.length > 0) this.#tell('unready', `Not ready: ${unready.join(', ')}`);
    else this.#tell('live', 'Live');
    this.dispatchEvent(new CustomEvent('tick', { detail: { events } }));
  }

  /** An EventSource does not say with which status it was refused. A request does; without a login it says so to the page. */
  async #askWhy() {
    try {
      await api('GET', '/api/stats');
      this.#tell('lost', 'The server sends no live numbers. Are too many dashboards open?');
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return;
    }
    this.#retry = setTimeout(() => this.start(), RETRY);
  }

  #tell(state, text) {
    this.dispatchEvent(new CustomEvent('state', { detail: { state, text } }));
  }
}

export const live = new Live();
