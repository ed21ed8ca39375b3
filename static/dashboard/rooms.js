// The rooms of a key, the members of a room, and the topics.

import { keyPath } from './api.js';
import { h } from './shared/dom.js';
import { cell, list, showList } from './list.js';
import { count } from './words.js';

const clientsOf = (key) => `#/keys/${encodeURIComponent(key)}`;
const roomsOf = (key) => `${clientsOf(key)}/rooms`;
const isOfRoom = ({ kind }) => kind === 'room_joined' || kind === 'room_left';

export function roomsView(main, key) {
  const rooms = list({
    path: `${keyPath(key)}/rooms`,
    label: `Rooms of ${key}`,
    search: 'Search a room',
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
  const isNews = (event) => isOfRoom(event) && event.key === key;
  return showList(main, rooms, { back: [clientsOf(key), 'Clients'], title: ['Rooms of ', h('bdi', {}, key)], isNews });
}

export function topicsView(main, key) {
  const topics = list({
    path: `${keyPath(key)}/topics`,
    label: `Topics of ${key}`,
    search: 'Search a topic',
    columns: ['Topic', 'Subscribers'],
    row: ({ name, subscribers }) => h('tr', { 'data-name': name }, h('th', { scope: 'row' }, h('bdi', {}, name)), cell('Subscribers', count(subscribers))),
    read: (answer) => answer.topics,
    empty: 'No client of this key subscribes to a topic.',
  });
  // No event tells of subscriptions.
  return showList(main, topics, { back: [clientsOf(key), 'Clients'], title: ['Topics of ', h('bdi', {}, key)], isNews: () => false });
}

export function membersView(main, key, name) {
  const members = list({
    path: `${keyPath(key)}/rooms/${encodeURIComponent(name)}/members`,
    label: `Members of ${name}`,
    search: 'Search an id',
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
  const isNews = (event) => isOfRoom(event) && event.key === key && event.reason === name;
  return showList(main, members, { back: [roomsOf(key), 'Rooms'], title: ['Members of ', h('bdi', {}, name)], isNews });
}
