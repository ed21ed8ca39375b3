// The first view: the numbers now and in the last five minutes, the mistakes of clients, and events.

import { api } from './api.js';
import { h } from './shared/dom.js';
import { setText } from './shared/set-text.js';
import { live, onNews } from './live.js';
import { sparkline } from './sparkline.js';
import { ago, bytes, callFailedWords, count, duration, eventWords, plural, rate, sentence } from './words.js';

/** A rate is the average of this many seconds. */
const SPAN = 5;

const perSecond = (value) => `${rate(value)}/s`;
const perMinute = (value) => `${rate(value * 60)}/min`;

/** A tile shows a value of each sample (`of`), or how fast a total grows (`rate`). */
const TILES = [
  { title: 'Clients', of: 'clients', format: count, note: (now) => plural(now.connections, 'connection') },
  { title: 'Messages', rate: 'delivered', format: perSecond, note: (now) => `${count(now.delivered)} delivered so far` },
  { title: 'New clients', rate: 'opened', format: perMinute, note: (now) => `${count(now.opened)} so far` },
  { title: 'Refused', rate: 'refused', format: perMinute, note: (now) => `${count(now.refused)} so far`, isBad: true },
  { title: 'Waiting messages', of: 'queued_bytes', format: bytes, note: (now) => `${count(now.lost)} expired or dropped` },
  { title: 'CPU', rate: 'cpu_seconds', format: (value) => `${rate(value * 100)} %`, note: () => 'of one core' },
  { title: 'Memory', of: 'memory_bytes', format: bytes, note: (now) => `up for ${duration(now.uptime / 1000)}` },
  { title: 'Relay', rate: 'relay_bytes', format: (value) => `${bytes(value)}/s`, note: (now) => plural(now.relay_calls, 'call') },
  { title: 'Pipes', rate: 'pipe_bytes', format: (value) => `${bytes(value)}/s`, note: (now) => plural(now.pipes, 'pipe') },
  { title: 'TURN', rate: 'turn_bytes', format: (value) => `${bytes(value)}/s`, note: (now) => plural(now.turn_allocations, 'allocation') },
];

/** The outcomes of calls, as the statistics of the relay name them. */
const OUTCOMES = [
  ['asked', 'Asked for'],
  ['direct', 'Direct'],
  ['relayed', 'Relayed'],
  ['failed', 'Failed'],
  ['unanswered', 'No answer'],
  ['unknown', 'Unknown'],
];

export function overview(main) {
  const tiles = TILES.map(tile);
  const mistakes = mistakeList();
  const calls = callList();
  const events = h('ol', { class: 'events', tabindex: '0', 'aria-labelledby': 'events-title' });
  const ending = new AbortController();

  main.append(
    h('h1', { class: 'visually-hidden', tabindex: '-1' }, 'Overview'),
    h('section', { class: 'tiles', 'aria-label': 'Numbers' }, tiles.map(({ element }) => element)),
    h(
      'div',
      { class: 'columns' },
      h('div', {}, calls.element, h('section', { 'aria-labelledby': 'mistakes-title' }, h('h2', { id: 'mistakes-title' }, 'What clients do wrong'), mistakes.element)),
      h('section', { 'aria-labelledby': 'events-title' }, h('h2', { id: 'events-title' }, 'Happening now'), events),
    ),
  );

  const draw = () => {
    tiles.forEach(({ show }) => show(live.samples));
    showEvents(events);
    mistakes.show();
    calls.show();
  };
  const ask = () => {
    mistakes.ask();
    calls.ask();
  };
  for (const change of ['history', 'tick']) live.addEventListener(change, draw, { signal: ending.signal });
  const ends = [
    onNews(({ kind }) => kind === 'refused' || kind === 'mistake', mistakes.ask),
    onNews(({ kind }) => kind === 'relayed' || kind === 'call_failed', calls.ask),
  ];
  const timer = setInterval(ask, 30_000);
  draw();
  ask();
  return () => {
    ending.abort();
    ends.forEach((end) => end());
    clearInterval(timer);
  };
}

function tile({ title, of, rate: total, format, note, isBad }) {
  const name = of ?? total;
  const value = h('dd', { class: 'value' }, '–');
  const more = h('dd', { class: 'note' });
  const chart = sparkline(title);
  const element = h('dl', { class: 'tile card', hidden: true, 'data-number': name }, h('dt', {}, title), value, more, h('dd', {}, chart.element));

  function show(samples) {
    const now = samples.at(-1);
    // A server without a relay has no number for it.
    element.hidden = !now || now[name] === null;
    if (element.hidden) return;
    const series = of ? samples.map((sample) => sample[of]) : rates(samples, total);
    const latest = series.at(-1);
    setText(value, latest === undefined ? '–' : format(latest));
    setText(more, note(now));
    element.classList.toggle('bad', Boolean(isBad && latest > 0));
    chart.show(series, format);
  }

  return { element, show };
}

/** The growth of a total per second at each sample, averaged over the `SPAN` before it. */
function rates(samples, total) {
  return samples.map((sample, i) => {
    const before = samples[Math.max(0, i - SPAN)];
    const seconds = (sample.uptime - before.uptime) / 1000;
    return seconds > 0 ? Math.max(0, sample[total] - before[total]) / seconds : undefined;
  });
}

function showEvents(list) {
  const now = Date.now();
  const items = live.events.map((event) => {
    const { text, detail } = eventWords(event);
    return h(
      'li',
      { 'data-kind': event.kind },
      h('span', { class: 'text' }, h('bdi', {}, text)),
      h('span', { class: 'detail' }, h('bdi', {}, detail)),
      h('time', { datetime: new Date(event.at).toISOString() }, ago((now - event.at) / 1000)),
    );
  });
  if (items.length === 0) items.push(h('li', { class: 'empty' }, 'Nothing has happened since the server started.'));
  if (live.skipped > 0) items.push(h('li', { class: 'empty' }, `${plural(live.skipped, 'event')} not shown: too many at once.`));
  list.replaceChildren(...items);
}

/** The outcomes of calls, and the last failed ones, of a server with a relay. `ask()` fetches them again. */
function callList() {
  const counts = h('dl', { class: 'outcomes' });
  const list = h('ul', { class: 'failed-calls', tabindex: '0', 'aria-label': 'Failed calls' });
  const element = h('section', { 'aria-labelledby': 'calls-title', 'data-calls': '', hidden: true }, h('h2', { id: 'calls-title' }, 'Calls'), counts, list);
  let failed = [];

  async function ask() {
    try {
      const { relay, failed_calls: latest } = await api('GET', '/api/stats');
      element.hidden = !relay;
      if (!relay) return;
      counts.replaceChildren(...OUTCOMES.map(([name, label]) => h('div', { 'data-outcome': name }, h('dt', {}, label), h('dd', {}, count(relay.ended[name] ?? relay[name])))));
      failed = latest.map((call) => ({ ...call, at: Date.now() - call.ago * 1000 }));
      show();
    } catch {
      // The state of the page tells that the server does not answer. The next question may work.
    }
  }

  function show() {
    const items = failed.map(({ key, caller, callee, reason, at }) =>
      h(
        'li',
        {},
        h('span', { class: 'text' }, h('bdi', {}, `${caller} to ${callee}`)),
        h('time', { datetime: new Date(at).toISOString() }, ago((Date.now() - at) / 1000)),
        h('span', { class: 'detail' }, h('bdi', {}, `key ${key} · ${callFailedWords(reason)}`)),
      ),
    );
    list.replaceChildren(...(items.length > 0 ? items : [h('li', { class: 'empty' }, 'No failed call is known.')]));
  }

  return { element, ask, show };
}

/** A list of the mistakes of clients. `ask()` fetches them again. */
function mistakeList() {
  const element = h('ul', { class: 'mistakes', tabindex: '0', 'aria-labelledby': 'mistakes-title' }, h('li', { class: 'empty' }, 'Asking…'));
  let mistakes;

  async function ask() {
    try {
      const answer = await api('GET', '/api/mistakes');
      mistakes = answer.mistakes.map((mistake) => ({ ...mistake, at: Date.now() - mistake.ago * 1000 }));
      show();
    } catch (error) {
      if (!mistakes) element.replaceChildren(h('li', { class: 'empty' }, error.message));
    }
  }

  function show() {
    const items = mistakes?.map(({ what, hint, latest, times, at }) =>
      h(
        'li',
        {},
        h('p', { class: 'times' }, `${count(times)}×`),
        h('p', { class: 'text' }, h('bdi', {}, `A client ${what}`)),
        h('p', { class: 'hint' }, h('bdi', {}, sentence(hint))),
        h('p', { class: 'detail' }, h('bdi', {}, `Latest: ${[ago((Date.now() - at) / 1000), latest].filter(Boolean).join(', ')}`)),
      ),
    );
    if (items?.length > 0) element.replaceChildren(...items);
    else if (items) element.replaceChildren(h('li', { class: 'empty' }, 'No mistakes within the last hour.'));
  }

  return { element, ask, show };
}
