// Tests a key as a client: this page opens two peers at the port of the clients. If the settings of the key exclude this
// page, it says so before it tries anything.

import { api, keyPath } from './api.js';
import { testBroker } from './shared/connection-test.js';
import { h } from './shared/dom.js';
import { setText } from './shared/set-text.js';
import { authWords } from './key-form.js';
import { broker, brokerUrl } from './shared/settings.js';
import { plural } from './words.js';

const WAIT = 8_000;
const MARKS = { waiting: 'not run yet', running: 'running', ok: 'done', failed: 'failed', skipped: 'not needed' };

const STEPS = [
  ['settings', 'The key is active, and this page may use it'],
  ['id', 'Ask for an id over HTTP'],
  ['peer-a', 'Peer A opens its WebSocket'],
  ['peer-b', 'Peer B opens its WebSocket'],
  ['introduce', 'The broker introduces A to B'],
  ['direct', 'Data goes there and back'],
  ['discovery', 'List the connected ids'],
  ['ice', 'Ask for ICE servers'],
];

export function testView(main, key = '') {
  const input = h('input', { id: 'test-key', maxlength: '128', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', list: 'keys', required: true, 'aria-describedby': 'test-note' });
  input.value = key;
  const keys = h('datalist', { id: 'keys' });
  const button = h('button', { class: 'button primary', type: 'submit' }, 'Test');
  const summary = h('p', { id: 'test-summary', role: 'status' });
  const steps = new Map(STEPS.map(([name, what]) => [name, step(name, what)]));

  main.append(
    h('h1', { tabindex: '-1' }, 'Test a key'),
    h('p', { class: 'lead' }, 'This page becomes two clients of ', h('code', {}, document.documentElement.dataset.broker), ' and says what they see.'),
    h(
      'form',
      { class: 'card test', onsubmit: (event) => { event.preventDefault(); run(); } },
      h('div', { class: 'ask' }, h('div', { class: 'field' }, h('label', { for: 'test-key' }, 'Key'), input, keys), button),
      h('p', { class: 'note', id: 'test-note' }, 'The test sees what this browser sees. Clients elsewhere may have a firewall or a proxy on their way.'),
      h('ol', { class: 'steps' }, [...steps.values()].map(({ element }) => element)),
      summary,
    ),
  );

  const report = (name, state, detail) => steps.get(name)?.show(state, detail);
  let isRunning = false;

  async function run() {
    if (isRunning) return;
    isRunning = true;
    button.setAttribute('aria-disabled', 'true');
    setText(button, 'Testing…');
    for (const name of steps.keys()) report(name, 'waiting', '');
    tell('running', '');
    try {
      const name = input.value.trim();
      const problem = await attempt(name);
      if (problem) tell('failed', problem);
      else tell('ok', `Clients of ${name} can connect and find each other.`);
    } finally {
      isRunning = false;
      button.removeAttribute('aria-disabled');
      setText(button, 'Test again');
    }
  }

  /** Resolves to a text about the problem; to undefined if there is none. */
  async function attempt(name) {
    report('settings', 'running', '');
    let settings;
    try {
      settings = await known(name);
    } catch (error) {
      report('settings', 'failed', error.message);
      return 'Clients with this key are refused, and the first step says why.';
    }
    const obstacle = obstacleOf(settings);
    report('settings', obstacle ? 'failed' : 'ok', obstacle ?? '');
    if (obstacle) return 'This dashboard may not use the key; your page may. The first step says why.';

    const id = encodeURIComponent(name);
    const way = await testBroker(report, id);
    await optional('discovery', settings.allow_discovery !== 'pin' && settings.allow_discovery, 'The key does not let clients list each other.', async () => {
      const ids = await ask('peers', id);
      return plural(ids.length, 'id');
    });
    await optional('ice', settings.ice_servers, 'The key does not tell clients ICE servers.', async () => {
      const { iceServers } = await ask('ice', id);
      const urls = iceServers.flatMap((server) => server.urls);
      return urls.length === 0 ? 'none: the server has no STUN and no TURN' : urls.join(', ');
    });
    if (!way) return `The test failed. If no step worked, check that this device reaches port ${broker.port} of ${broker.host}, not only the port of the dashboard. With --cors, the server has to list ${location.origin}.`;
    return undefined;
  }

  async function optional(name, isOn, why, work) {
    if (!isOn) {
      report(name, 'skipped', why);
      return;
    }
    report(name, 'running', '');
    try {
      report(name, 'ok', await work());
    } catch (error) {
      report(name, 'failed', error.message);
    }
  }

  function tell(state, text) {
    summary.dataset.state = state;
    setText(summary, text);
  }

  offer(keys, input);
}

/** The settings of a key; rejects with a hint if there is none. */
async function known(name) {
  try {
    return await api('GET', keyPath(name));
  } catch (error) {
    if (error.status !== 404) throw error;
    throw new Error(`There is no key “${name}”. Clients hear “Invalid key provided”.`, { cause: error });
  }
}

/** Returns the reason why this page may not use the key; undefined if it may. */
function obstacleOf({ enabled, origins, auth }) {
  if (!enabled) return 'The key is disabled. Clients hear “Invalid key provided”.';
  if (auth.method !== 'none') return `Clients must prove their ids (${authWords(auth)}), and this page has no proof. Clients without one hear “Invalid token provided”.`;
  if (origins.length > 0 && !origins.some((origin) => fits(origin, location.origin))) {
    return `Only pages of ${origins.join(', ')} may use it, and this page is at ${location.origin}. Pages elsewhere hear “This origin may not use the key”.`;
  }
  return undefined;
}

/** True if `https://example.org` or `https://*.example.org` admits the origin. */
function fits(allowed, origin) {
  const [scheme, host] = allowed.split('://');
  if (!host?.startsWith('*.')) return allowed === origin;
  return origin.startsWith(`${scheme}://`) && origin.endsWith(host.slice(1));
}

async function ask(endpoint, key) {
  const response = await fetch(brokerUrl(endpoint, key), { cache: 'no-store', signal: AbortSignal.timeout(WAIT) });
  if (!response.ok) throw new Error(`the server answered with status ${response.status}`);
  return response.json();
}

/** Offers the first keys; a server may have thousands. */
async function offer(datalist, input) {
  try {
    const { keys } = await api('GET', '/api/keys?limit=50');
    datalist.replaceChildren(...keys.map(({ key }) => h('option', { value: key })));
    // Not while somebody types.
    if (!input.value && document.activeElement !== input) input.value = keys.find(({ enabled }) => enabled)?.key ?? '';
  } catch {
    // The field works without offers.
  }
}

function step(name, what) {
  const mark = h('span', { class: 'mark', role: 'img', 'aria-label': MARKS.waiting });
  const detail = h('span', { class: 'detail' });
  const element = h('li', { 'data-step': name, 'data-state': 'waiting' }, mark, h('span', { class: 'what' }, what), detail);
  return {
    element,
    show(state, text) {
      element.dataset.state = state;
      mark.setAttribute('aria-label', MARKS[state]);
      setText(detail, text);
    },
  };
}
