// The rooms of a key, the members of a room, and the topics.

import { keyPath } from './api.js';
import { h } from './dom.js';
import { cell, list } from './list.js';
import { live } from './live.js';
import { count } from './words.js';

const clientsOf = (key) => `#/keys/${encodeURIComponent(key)}`;
const roomsOf = (key) => `${clientsOf(key)}/rooms`;

export function roomsView(main, key) {
  const rooms = list({
    path: `${keyPath(key)}/rooms`,
    label: `Rooms of ${key}`,
    columns: ['Room', 'Members'],
    row: ({ name, members }) =>
      h(
        'tr',
        { 'data-name': name },
        h('th', { scope: 'row' }, h('a', { href: `${roomsOf(key)}/${encodeURIComponent(name)}`, 'data-act': 'open' }, h('bdi', {}, name))),
        cell('Members', count(members)),
      ),
    read: (answer) => answer.rooms,
    empty: 'No client of this key is in a room.',
  });
  return show(main, rooms, { back: clientsOf(key), to: 'Clients', title: ['Rooms of ', key], search: 'Search a room', isNews: (event) => event.key === key });
}

export function topicsView(main, key) {
  const topics = list({
    path: `${keyPath(key)}/topics`,
    label: `Topics of ${key}`,
    columns: ['Topic', 'Subscribers'],
    row: ({ name, subscribers }) => h('tr', { 'data-name': name }, h('th', { scope: 'row' }, h('bdi', {}, name)), cell('Subscribers', count(subscribers))),
    read: (answer) => answer.topics,
    empty: 'No client of this key subscribes to a topic.',
  });
  // No event tells of subscriptions.
  return show(main, topics, { back: clientsOf(key), to: 'Clients', title: ['Topics of ', key], search: 'Search a topic', isNews: () => false });
}

export function membersView(main, key, name) {
  const members = list({
    path: `${keyPath(key)}/rooms/${encodeURIComponent(name)}/members`,
    label: `Members of ${name}`,
    columns: ['Id', 'Data'],
    row: ({ id, data }) =>
      h(
        'tr',
        { 'data-name': id },
        h('th', { scope: 'row' }, h('code', {}, h('bdi', {}, id))),
        cell('Data', data === undefined ? 'none' : h('code', { class: 'data' }, h('bdi', {}, JSON.stringify(data)))),
      ),
    read: (answer) => answer.members,
    empty: 'Nobody is in this room.',
  });
  const isNews = (event) => event.key === key && event.reason === name;
  return show(main, members, { back: roomsOf(key), to: 'Rooms', title: ['Members of ', name], search: 'Search an id', isNews });
}

/** Shows a list, which is read again when somebody has joined or left. */
function show(main, shown, { back, to, title: [of, name], search, isNews }) {
  main.append(
    h('p', { class: 'back' }, h('a', { href: back }, `← ${to}`)),
    h('h1', { tabindex: '-1' }, of, h('bdi', {}, name)),
    h('div', { class: 'tools' }, shown.field),
    shown.element,
  );
  shown.field.querySelector('label').textContent = search;
  const ending = new AbortController();
  const isOfRoom = (event) => ['room_joined', 'room_left'].includes(event.kind) && isNews(event);
  live.addEventListener('tick', ({ detail }) => detail.events.some(isOfRoom) && shown.reload(), { signal: ending.signal });
  shown.reload();
  return () => ending.abort();
}
