// The frame of the dashboard: login, routes, and the state of the connection.

import { addressesView } from './addresses.js';
import { api, session } from './api.js';
import { callsView } from './calls.js';
import { setText } from './shared/set-text.js';
import { healthView } from './health.js';
import { keysView } from './keys.js';
import { live } from './live.js';
import { overview } from './overview.js';
import { peersView } from './peers.js';
import { membersView, roomsView, topicsView } from './rooms.js';
import { testView } from './test.js';

const find = (id) => document.getElementById(id);
const hasLogin = document.documentElement.dataset.hasLogin === 'true';

/** Routes: a pattern of the hash, the link of the navigation, and the view, which returns a function that ends it. */
const ROUTES = [
  { pattern: /^#\/keys\/([^/]+)\/rooms\/([^/]+)$/, link: '#/keys', title: 'Members', view: membersView },
  { pattern: /^#\/keys\/([^/]+)\/rooms$/, link: '#/keys', title: 'Rooms', view: roomsView },
  { pattern: /^#\/keys\/([^/]+)\/topics$/, link: '#/keys', title: 'Topics', view: topicsView },
  { pattern: /^#\/keys\/([^/]+)\/calls$/, link: '#/keys', title: 'Calls', view: callsView },
  { pattern: /^#\/keys\/([^/]+)$/, link: '#/keys', title: 'Clients', view: peersView },
  { pattern: /^#\/keys$/, link: '#/keys', title: 'Keys', view: keysView },
  { pattern: /^#\/test(?:\/([^/]+))?$/, link: '#/test', title: 'Test', view: testView },
  { pattern: /^#\/addresses$/, link: '#/addresses', title: 'Addresses', view: addressesView },
  { pattern: /^#\/health$/, link: '#/health', title: 'Health', view: healthView },
];
const OVERVIEW = { pattern: /^/, link: '#/', title: 'Overview', view: overview };

let leave = () => {};
let isShown = false;

live.addEventListener('state', ({ detail: { state, text } }) => {
  find('status').dataset.state = state;
  setText(find('status'), text);
});

session.addEventListener('loggedout', () => {
  if (!isShown && !find('login').hidden) return;
  live.stop();
  leave();
  leave = () => {};
  isShown = false;
  find('main').replaceChildren();
  for (const id of ['nav', 'main', 'log-out']) find(id).hidden = true;
  find('login').hidden = false;
  find('status').dataset.state = 'out';
  setText(find('status'), '');
  document.title = 'Log in – peerbroker';
  for (const dialog of document.querySelectorAll('dialog')) dialog.remove();
  find('token').focus();
});

find('login-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const token = find('token').value.trim();
  try {
    await api('POST', '/api/session', { token });
    find('token').value = '';
    setText(find('login-problem'), '');
    enter();
  } catch (error) {
    const problem = error.status === 401 ? 'This is not the admin token of this server.' : error.message;
    // Emptied first, so that the same problem is spoken again.
    find('login-problem').textContent = '';
    find('login-problem').textContent = problem;
    find('token').select();
  }
});

find('log-out').addEventListener('click', async () => {
  await api('DELETE', '/api/session').catch(() => {});
  session.dispatchEvent(new Event('loggedout'));
});

window.addEventListener('hashchange', () => isShown && show(true));

function enter() {
  find('login').hidden = true;
  for (const id of ['nav', 'main']) find(id).hidden = false;
  find('log-out').hidden = !hasLogin;
  isShown = true;
  live.start();
  show(false);
}

function show(isMoved) {
  const hash = location.hash || '#/';
  const route = ROUTES.find(({ pattern }) => pattern.test(hash)) ?? OVERVIEW;
  for (const link of find('nav').querySelectorAll('a')) {
    if (link.getAttribute('href') === route.link) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  leave();
  const main = find('main');
  main.replaceChildren();
  const [, ...names] = hash.match(route.pattern) ?? [];
  leave = route.view(main, ...names.map((name) => name && decoded(name))) ?? (() => {});
  document.title = `${route.title} – peerbroker`;
  if (!isMoved) return;
  scrollTo(0, 0);
  // Screen readers continue at the new heading.
  main.querySelector('h1')?.focus({ preventScroll: true });
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function begin() {
  try {
    await api('GET', '/api/stats');
  } catch (error) {
    // The page shows the login form already.
    if (error.status === 401) return;
  }
  enter();
}

begin();
