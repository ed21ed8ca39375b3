// The form for the settings of a key. The API gets only the settings that changed.

import { h } from './dom.js';

/** The defaults of a new key. */
const DEFAULTS = {
  name: '',
  concurrent_limit: undefined,
  messages_per_second: undefined,
  origins: [],
  allow_no_origin: false,
  allow_discovery: false,
  leave_on_close: false,
  allow_rooms: true,
  private_rooms: false,
  room_members: undefined,
  relay: 'fallback',
  id_style: 'uuid',
  ice_servers: true,
};

const SECRET_BYTES = 32;

/** The note of a limit that a key may have of its own. */
const OF_SERVER = 'Empty: as the server has it. 0: no limit';

/** The form for this key, or for a new one. `read()` returns `{ change, secret }`: the changed settings, and a new secret if there is one. */
export function keyForm(key) {
  const initial = key ?? DEFAULTS;
  let ids = 0;

  // `setting` is the name in the API, whose errors name it.
  const field = (setting, label, input, note) => {
    ids += 1;
    input.id = `field-${ids}`;
    if (note) input.setAttribute('aria-describedby', `note-${ids}`);
    return h('div', { class: 'field', 'data-setting': setting }, h('label', { for: input.id }, label), input, note && h('span', { class: 'note', id: `note-${ids}` }, note));
  };
  const text = (value, attributes = {}) => {
    const input = h('input', { autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', ...attributes });
    input.value = value ?? '';
    return input;
  };
  const choice = (value, options) => {
    const select = h('select', {}, options.map(([name, label]) => h('option', { value: name }, label)));
    select.value = value;
    return select;
  };
  const check = (label, isOn, note) => {
    const input = h('input', { type: 'checkbox' });
    input.checked = isOn;
    return { input, element: h('label', { class: 'check' }, input, h('span', {}, label, note && h('span', { class: 'note' }, note))) };
  };

  const id = text('', { maxlength: '128' });
  const name = text(initial.name, { maxlength: '100' });
  const clients = text(initial.concurrent_limit, { type: 'number', min: '0', step: '1' });
  const messages = text(initial.messages_per_second, { type: 'number', min: '0', step: '1' });
  const origins = h('textarea', { rows: '2', spellcheck: 'false', autocapitalize: 'none' });
  origins.value = initial.origins.join('\n');
  const noOrigin = check('Programs without an origin may use it too', initial.allow_no_origin);
  const discovery = check('Clients may list each other', initial.allow_discovery);
  const leave = check('Peers hear at once when a page goes away', initial.leave_on_close);
  const rooms = check('Clients may use rooms', initial.allow_rooms);
  const isPrivate = check('Only rooms that the proof lists', initial.private_rooms, 'Without a proof of ids, nobody enters a room.');
  const members = text(initial.room_members, { type: 'number', min: '0', step: '1' });
  const ice = check('Clients are told ICE servers', initial.ice_servers);
  const relay = choice(initial.relay, [
    ['fallback', 'For calls that cannot go directly'],
    ['always', 'For all calls: clients never learn each other’s addresses'],
    ['off', 'Never'],
  ]);
  const relayCalls = text(initial.relay_calls_per_key, { type: 'number', min: '0', step: '1' });
  const callRate = text(initial.relay_bytes_per_second, { type: 'number', min: '0', step: '1' });
  const keyRate = text(initial.relay_key_bytes_per_second, { type: 'number', min: '0', step: '1' });
  const style = choice(initial.id_style, [['uuid', 'Random UUIDs'], ['short', 'Eight letters and digits'], ['words', 'Four words']]);
  const proof = choice('keep', [
    ...(key ? [['keep', `As it is: ${authWords(key.auth)}`]] : []),
    ['none', 'Anybody may use any id that is free'],
    ['secret', 'Clients need a token, signed with a new secret (JWT)'],
    ['webhook', 'A server of yours is asked about each client (webhook)'],
  ]);
  if (!key) proof.value = 'none';
  const url = text('', { type: 'url', placeholder: 'https://' });
  const urlField = field('auth', 'Address of your server', url);
  const showUrl = () => (urlField.hidden = proof.value !== 'webhook');
  proof.addEventListener('change', showUrl);
  showUrl();

  const content = [
    !key && field('key', 'Key', id, 'Clients send it. Leave it empty for a random one.'),
    field('name', 'Name', name, 'For people, usually the name of an app.'),
    h('div', { class: 'pair' }, field('concurrent_limit', 'Client limit', clients, key ? undefined : 'Default: 5,000'), field('messages_per_second', 'Messages per second and client', messages, key ? '0: no limit' : 'Default: 200')),
    field('origins', 'Pages that may use it', origins, 'One origin per line, as https://example.org or https://*.example.org. Empty: all pages.'),
    noOrigin.element,
    field('auth', 'How clients prove their ids', proof),
    urlField,
    h('details', {}, h('summary', {}, 'More settings'), discovery.element, leave.element, rooms.element, isPrivate.element, field('room_members', 'Members of one room', members, key ? undefined : 'Default: 500'), ice.element, field('relay', 'Relay', relay), h('div', { class: 'pair' }, field('relay_bytes_per_second', 'Bytes per second of a relayed call', callRate, OF_SERVER), field('relay_key_bytes_per_second', 'Of all relayed calls', keyRate, OF_SERVER)), field('relay_calls_per_key', 'Calls that the relay knows', relayCalls, 'Empty: as the server has it'), field('id_style', 'Ids that the server gives', style)),
  ];

  const number = (input) => (input.value === '' ? undefined : Number(input.value));
  const numberOrNull = (input) => number(input) ?? null;

  function read() {
    const values = {
      name: name.value.trim(),
      concurrent_limit: number(clients),
      messages_per_second: number(messages),
      origins: origins.value.split(/\s+/).filter(Boolean),
      allow_no_origin: noOrigin.input.checked,
      allow_discovery: discovery.input.checked,
      leave_on_close: leave.input.checked,
      allow_rooms: rooms.input.checked,
      private_rooms: isPrivate.input.checked,
      room_members: number(members),
      relay: relay.value,
      relay_calls_per_key: numberOrNull(relayCalls),
      relay_bytes_per_second: numberOrNull(callRate),
      relay_key_bytes_per_second: numberOrNull(keyRate),
      id_style: style.value,
      ice_servers: ice.input.checked,
    };
    const isNew = ([setting, value]) => value !== undefined && JSON.stringify(value) !== JSON.stringify(initial[setting] ?? null);
    const change = Object.fromEntries(Object.entries(values).filter(isNew));
    if (!key && id.value.trim()) change.key = id.value.trim();
    let secret;
    if (proof.value === 'none' && key?.auth.method !== 'none' && key) change.auth = { method: 'none' };
    if (proof.value === 'webhook') change.auth = { method: 'webhook', url: url.value.trim() };
    if (proof.value === 'secret') {
      secret = newSecret();
      change.auth = { method: 'jwt', kind: 'secret', value: secret };
    }
    return { change, secret };
  }

  return { content, read };
}

/** Names the proof that clients of a key need for their ids. */
export function authWords({ method, kind }) {
  if (method === 'webhook') return 'a webhook';
  if (method === 'jwt') return { secret: 'tokens with a secret', pem: 'tokens with a public key', jwks: 'tokens with a key set' }[kind] ?? 'tokens';
  return 'no proof';
}

function newSecret() {
  const random = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return [...random].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
