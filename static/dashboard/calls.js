// The reports of the clients of a key about their connections: how many opened, by way and by reason, over the last day, and the last reports.

import { api, keyPath } from './api.js';
import { REASONS, WAYS } from './shared/connection-words.js';
import { h } from './shared/dom.js';
import { setText } from './shared/set-text.js';
import { onNews } from './live.js';
import { sparkline } from './sparkline.js';
import { ago, bytes, count, duration } from './words.js';

/** Seconds of a step of the counts, and of all of them. */
const STEP = 5 * 60;
const DAY = 24 * 60 * 60;

const percent = (value) => `${Math.round(value * 100)} %`;
const sum = (counts) => Object.values(counts).reduce((total, number) => total + number, 0);

/** The reports of a client, in words; the latest first. */
export async function lastCalls(key, id) {
  const { reports } = await api('GET', `${keyPath(key)}/reports?${new URLSearchParams({ client: id })}`);
  return reports.map(item);
}

export function callsView(main, key) {
  const share = h('dd', { class: 'value' }, '–');
  const note = h('dd', { class: 'note' });
  const chart = sparkline('Share of connections that opened', STEP);
  const counts = h('dl', { class: 'outcomes' });
  const list = h('ul', { class: 'failed-calls', tabindex: '0', 'aria-label': 'Last reports' });

  main.append(
    h('p', { class: 'back' }, h('a', { href: `#/keys/${encodeURIComponent(key)}` }, '← Clients')),
    h('h1', { tabindex: '-1' }, 'Calls of ', h('bdi', {}, key)),
    h('p', { class: 'lead' }, 'What pages with the served peerjs.js report to this node, if the key lets them. Reports are claims.'),
    h('section', { class: 'tiles', 'aria-label': 'Numbers' }, h('dl', { class: 'tile card', 'data-number': 'opened' }, h('dt', {}, 'Opened'), share, note, h('dd', {}, chart.element))),
    h('div', { class: 'columns' }, h('section', {}, h('h2', {}, 'The last day'), counts), h('section', {}, h('h2', {}, 'Last reports'), list)),
  );

  async function show() {
    let answer;
    try {
      answer = await api('GET', `${keyPath(key)}/reports`);
    } catch (error) {
      list.replaceChildren(h('li', { class: 'empty' }, error.message));
      return;
    }
    const { opened, failed, steps, reports } = answer;
    const [good, bad] = [sum(opened), sum(failed)];
    setText(share, good + bad > 0 ? percent(good / (good + bad)) : '–');
    setText(note, `${count(good)} of ${count(good + bad)} connections`);
    chart.show(overTime(steps), percent);
    const counted = (of, words) => Object.entries(of).sort(([, a], [, b]) => b - a)
      .map(([name, number]) => h('div', { 'data-detail': name }, h('dt', {}, words[name] ?? name), h('dd', {}, count(number))));
    counts.replaceChildren(...counted(opened, WAYS), ...counted(failed, REASONS));
    list.replaceChildren(...(reports.length > 0 ? reports.map(item) : [h('li', { class: 'empty' }, 'No page has reported within a day.')]));
  }

  const end = onNews(({ kind, key: of }) => of === key && kind === 'connection_failed', show);
  const timer = setInterval(show, 30_000);
  show();
  return () => {
    end();
    clearInterval(timer);
  };
}

/** The share that opened in each step since the first one; `undefined` where nothing was reported. */
function overTime(steps) {
  const number = Math.ceil(Math.min(steps[0]?.ago ?? 0, DAY) / STEP) + 1;
  const shares = Array(number).fill(undefined);
  for (const { ago: seconds, opened, failed } of steps) {
    shares[number - 1 - Math.floor(seconds / STEP)] = sum(opened) / (sum(opened) + sum(failed));
  }
  return shares;
}

function item(report) {
  const { id, peer, caller, kind, way, reason, ago: seconds, open_ms: opening, duration_ms: open, rtt_ms: rtt, loss, sent_bytes: sent, received_bytes: received, states, local, remote } = report;
  const parts = [
    kind === 'media' ? 'call' : 'data',
    way ? `went ${WAYS[way]}` : `failed: ${REASONS[reason]}`,
    opening !== undefined && `opened in ${count(opening)} ms`,
    open !== undefined && `for ${duration(open / 1000)}`,
    rtt !== undefined && `round trip ${count(rtt)} ms`,
    loss !== undefined && `${percent(loss)} lost`,
    sent !== undefined && `${bytes(sent)} sent`,
    received !== undefined && `${bytes(received)} received`,
    states.join(', '),
    `candidates ${local.join(', ') || 'none'} and ${remote.join(', ') || 'none'}`,
  ];
  return h(
    'li',
    {},
    h('span', { class: 'text' }, h('bdi', {}, `${id} ${caller ? 'to' : 'from'} ${peer}`)),
    h('time', {}, ago(seconds)),
    h('span', { class: 'detail' }, parts.filter(Boolean).join(' · ')),
  );
}
