import { loadPeer, openPeer, watchLoss } from '../../shared/peer.js';
import { setText } from '../../shared/set-text.js';
import { show, startPage } from '../../shared/start-page.js';
import { setStatus } from '../../shared/status.js';
import { addMessage } from './messages.js';

const DIAL_WAIT = 15_000;
const REDIAL_AFTER = 2_000;
const LOST = ['Connection lost', 'It comes back by itself.'];
const ABSENT = ['Nobody has this id', 'Is “peerbroker listen” still running? This page connects as soon as it runs.'];

const element = (id) => document.getElementById(id);

startPage(async () => {
  const id = decodeURIComponent(location.hash.slice(1));
  if (!id) return askForId();
  await loadPeer();
  const peer = await openPeer('talk');
  element('title').textContent = `Talk to ${id}`;
  show('talk');
  element('message').focus();
  talk(peer, id);
});

/** Loads the page again, with an id in its address. */
function askForId() {
  setStatus('ready', 'Not connected');
  show('enter');
  element('enter').addEventListener('submit', (event) => {
    event.preventDefault();
    location.hash = encodeURIComponent(element('id').value.trim());
  });
}

/** Talks to the program of this id. `peer` is open. */
function talk(peer, id) {
  let connection;
  let state;
  let timer;

  element('say').addEventListener('submit', submit);
  peer.on('open', () => state !== 'ready' && dial());
  peer.on('error', ({ type }) => type === 'peer-unavailable' && !connection?.open && failed(...ABSENT));
  watchLoss(peer, (why, isForGood) => {
    if (isForGood) ended('failed', 'Not connected', why);
    else if (state !== 'ready') tell('retrying', ...LOST);
  });
  dial();

  /** In the state `ready`, somebody decides if the page connects again. */
  function tell(name, text, explanation = '') {
    state = name;
    setStatus(name, text);
    setText(element('explanation'), explanation);
    element('send').disabled = !['connected', 'ready'].includes(name);
    element('send').textContent = name === 'ready' ? 'Connect' : 'Send';
  }

  function dial() {
    if (connection?.open) return opened();
    hangUp();
    if (state !== 'retrying') tell('connecting', 'Connecting…');
    // It comes back by itself, and then this is called again.
    if (!peer.open) return;
    // Somebody who has the id may not answer.
    timer = setTimeout(dial, DIAL_WAIT);
    connection = peer.connect(id, { reliable: true, serialization: 'binary' });
    connection.on('open', opened);
    connection.on('data', (value) => addMessage('They', value));
    connection.on('error', () => failed(...LOST));
    connection.on('close', () => ended('ready', 'Not connected', 'The program has ended.'));
  }

  /** Without events of a connection that was given up. */
  function hangUp() {
    clearTimeout(timer);
    connection?.removeAllListeners();
    connection?.close();
    connection = undefined;
  }

  function ended(...status) {
    hangUp();
    tell(...status);
  }

  function failed(...status) {
    ended('retrying', ...status);
    timer = setTimeout(dial, REDIAL_AFTER);
  }

  async function opened() {
    clearTimeout(timer);
    tell('connected', 'Connected');
    element('safety-number').textContent = await connection.safetyNumber().catch(({ message }) => `${message}.`);
  }

  function submit(event) {
    event.preventDefault();
    const { value: text } = element('message');
    if (state === 'ready') return dial();
    if (!text) return;
    const value = valueOf(text);
    connection.send(value);
    addMessage('You', value);
    element('message').value = '';
  }
}

/** A script that reads JSON gets objects. */
function valueOf(text) {
  try {
    return /^[[{]/.test(text) ? JSON.parse(text) : text;
  } catch {
    return text;
  }
}
