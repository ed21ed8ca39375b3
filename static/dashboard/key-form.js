// The form for the settings of a key. The API gets only the settings that changed.

import { randomHex } from './client/random.js';
import { h } from './shared/dom.js';

const SECRET_BYTES = 32;

/** The notes of limits that a key may have of its own. */
const OF_SERVER = 'Empty: as the server has it';
const RATE_OF_SERVER = 'Empty: as the server has it. 0: no limit';

const RELAY = [
  ['fallback', 'For calls that cannot go directly'],
  ['always', 'For all calls: clients never learn each other’s addresses'],
  ['off', 'Never'],
];
const DISCOVERY = [[false, 'No'], ['near', 'Those of one network'], ['pin', 'Those of one network with the same PIN'], [true, 'All']];
const STYLES = [['uuid', 'Random UUIDs'], ['short', 'Eight letters and digits'], ['words', 'Four words']];

/** The settings that have one input each: name in the API, label, form, value of a new key, and a note. Two in a list stand side by side. */
const FIRST = [
  ['name', 'Name', 'text', '', 'For people, usually the name of an app.'],
  [['concurrent_limit', 'Client limit', 'number', 5000], ['messages_per_second', 'Messages per second and client', 'number', 200, '0: no limit']],
  ['origins', 'Pages that may use it', 'lines', [], 'One origin per line, as https://example.org, https://*.example.org, or app://. of an app. null lets in all sites, because each can open a sandboxed frame. Empty: all pages.'],
  ['allow_no_origin', 'Programs without an origin may use it too', 'check', false],
];
const MORE = [
  ['allow_discovery', 'Clients find each other without an id', DISCOVERY, false, 'Of one network: behind one public address, or in the server’s own network.'],
  ['leave_on_close', 'Peers hear at once when a page goes away', 'check', false],
  ['allow_rooms', 'Clients may use rooms', 'check', true],
  ['private_rooms', 'Only rooms that the proof lists', 'check', false, 'Without a proof of ids, nobody enters a room.'],
  ['room_members', 'Members of one room', 'number', 500],
  ['expire_timeout', 'Milliseconds for which a message waits for an absent peer', 'own', undefined, `${OF_SERVER}. At most 120000.`],
  ['pipes', 'Data that WebRTC cannot carry goes over the broker', 'check', true],
  ['ice_servers', 'Clients are told ICE servers', 'check', true],
  ['call_reports', 'Pages report how their connections went', 'check', false],
  ['relay', 'Relay', RELAY, 'fallback'],
  [['relay_bytes_per_second', 'Bytes per second of a relayed call', 'own', undefined, RATE_OF_SERVER], ['relay_key_bytes_per_second', 'Of all relayed calls', 'own', undefined, RATE_OF_SERVER]],
  ['relay_calls_per_key', 'Calls that the relay knows', 'own', undefined, OF_SERVER],
  ['id_style', 'Ids that the server gives', STYLES, 'uuid'],
];

const VERBATIM = { autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false' };
const COUNT = { ...VERBATIM, type: 'number', min: '0', step: '1' };

/** The input of each form, and its value for the API; `undefined` changes nothing. */
const FORMS = {
  text: [() => h('input', { ...VERBATIM, maxlength: '100' }), ({ value }) => value.trim()],
  number: [() => h('input', COUNT), ({ value }) => (value === '' ? undefined : Number(value))],
  own: [() => h('input', COUNT), ({ value }) => (value === '' ? null : Number(value))],
  lines: [() => h('textarea', { ...VERBATIM, rows: '2' }), ({ value }) => value.split(/\s+/).filter(Boolean)],
  check: [() => h('input', { type: 'checkbox' }), ({ checked }) => checked],
};

const choice = (options) => h('select', {}, options.map(([name, label]) => h('option', { value: String(name) }, label)));

/** The form for this key, or for a new one. `read()` returns `{ change, secret }`: the changed settings, and a new secret if there is one. */
export function keyForm(key) {
  let ids = 0;
  // Each returns the part of the change that its input gives.
  const readers = [];

  // `setting` is the name in the API, whose errors name it.
  const field = (setting, label, input, note) => {
    ids += 1;
    input.id = `field-${ids}`;
    if (note) input.setAttribute('aria-describedby', `note-${ids}`);
    return h('div', { class: 'field', 'data-setting': setting }, h('label', { for: input.id }, label), input, note && h('span', { class: 'note', id: `note-${ids}` }, note));
  };

  const fieldOf = (row) => {
    if (Array.isArray(row[0])) return h('div', { class: 'pair' }, row.map(fieldOf));
    const [setting, label, form, ofNew, note] = row;
    const initial = key ? key[setting] : ofNew;
    const [make, value] = FORMS[form] ?? [() => choice(form), ({ selectedIndex }) => form[selectedIndex][0]];
    const input = make();
    if (form === 'check') input.checked = initial;
    else input.value = form === 'lines' ? initial.join('\n') : (initial ?? '');
    const isNew = (now) => now !== undefined && JSON.stringify(now) !== JSON.stringify(initial ?? null);
    readers.push(() => (isNew(value(input)) ? { [setting]: value(input) } : {}));
    if (form === 'check') return h('label', { class: 'check' }, input, h('span', {}, label, note && h('span', { class: 'note' }, note)));
    return field(setting, label, input, note);
  };

  const id = h('input', { ...VERBATIM, maxlength: '128' });
  const proof = choice([
    ...(key ? [['keep', `As it is: ${authWords(key.auth)}`]] : []),
    ['none', 'Anybody may use any id that is free'],
    ['secret', 'Clients need a token, signed with a new secret (JWT)'],
    ['webhook', 'A server of yours is asked about each client (webhook)'],
  ]);
  const url = h('input', { ...VERBATIM, type: 'url', placeholder: 'https://' });
  const urlField = field('auth', 'Address of your server', url);
  const showUrl = () => (urlField.hidden = proof.value !== 'webhook');
  proof.addEventListener('change', showUrl);
  showUrl();

  const content = [
    !key && field('key', 'Key', id, 'Clients send it. Leave it empty for a random one.'),
    ...FIRST.map(fieldOf),
    field('auth', 'How clients prove their ids', proof),
    urlField,
    h('details', {}, h('summary', {}, 'More settings'), MORE.map(fieldOf)),
  ];

  function read() {
    const change = Object.assign({}, ...readers.map((reader) => reader()));
    if (!key && id.value.trim()) change.key = id.value.trim();
    let secret;
    if (proof.value === 'none' && key && key.auth.method !== 'none') change.auth = { method: 'none' };
    if (proof.value === 'webhook') change.auth = { method: 'webhook', url: url.value.trim() };
    if (proof.value === 'secret') {
      secret = randomHex(SECRET_BYTES);
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
