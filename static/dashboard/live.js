// The server's numbers and events, as it sends them. EventSource reconnects by itself, unless the server refuses it.

import { ApiError, api } from './api.js';

const KEPT = 300;
const KEPT_EVENTS = 100;
const RETRY = 2_000;

class Live extends EventTarget {
  /** Samples of the last five minutes, the oldest first. */
  samples = [];
  /** The last events, the newest first, each with its time. */
  events = [];
  /** The reasons why the server is not ready for clients; `undefined` before it has told. */
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
      const { samples, events } = JSON.parse(data);
      this.samples = samples;
      this.events = [];
      this.skipped = 0;
      this.#addEvents(events);
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
    // After a restart, the server counts from zero.
    if (this.samples.at(-1)?.uptime > sample.uptime) this.samples = [];
    this.samples.push(sample);
    this.samples = this.samples.slice(-KEPT);
    this.#addEvents(events);
    this.skipped += skipped;
    this.unready = unready;
    if (unready.length > 0) this.#tell('unready', `Not ready: ${unready.join(', ')}`);
    else this.#tell('live', 'Live');
    this.dispatchEvent(new CustomEvent('tick', { detail: { events } }));
  }

  #addEvents(events) {
    const timed = events.map((event) => ({ ...event, at: Date.now() - event.ago * 1000 }));
    this.events = [...timed.reverse(), ...this.events].slice(0, KEPT_EVENTS);
  }

  /** An EventSource hides the status of a refusal, so this sends a request to learn it. `api` tells the page of a missing login. */
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

/** Calls `act` when there are events of which one `isNews`. Returns a function that ends that. */
export function onNews(isNews, act) {
  const ending = new AbortController();
  live.addEventListener('tick', ({ detail }) => detail.events.some(isNews) && act(), { signal: ending.signal });
  return () => ending.abort();
}
