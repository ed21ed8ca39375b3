import { h } from '../../shared/dom.js';
import { enableFullscreen, toggleFullscreen } from '../../shared/fullscreen.js';
import { watchLoss } from '../../shared/peer.js';
import { pageUrl } from '../../shared/settings.js';
import { setStatus } from '../../shared/status.js';
import { recall, remember } from '../../shared/storage.js';
import { enableCopyLink, showJoinLink } from '../../shared/join-link.js';
import { Deck } from './deck.js';
import { Phones } from './connected-phones.js';

const element = (id) => document.getElementById(id);

/** `peer` is open. */
export function startPresenter(peer) {
  // A peer that is not connected has none.
  const { id } = peer;
  const deck = new Deck(() => {
    remember('slide', deck.position.index);
    phones.sendPosition();
    showSlide();
  });
  const phones = new Phones({
    position: () => deck.position,
    onCommand: (name) => deck[name](),
    onChange: showConnections,
  });
  /** Of a peer that is not connected to the broker. */
  let lostBecause;
  let isLostForGood = false;
  let joinShown = true;
  let hadPhone = false;

  peer.on('open', () => {
    lostBecause = undefined;
    showConnections();
  });
  watchLoss(peer, (...loss) => {
    [lostBecause, isLostForGood] = loss;
    showConnections();
  });
  peer.on('connection', (connection) => phones.add(connection));

  element('dots').append(...deck.slides.map(() => h('li')));
  element('slide-count').textContent = deck.slides.length;
  element('next').addEventListener('click', deck.next);
  element('previous').addEventListener('click', deck.previous);
  element('toggle-join').addEventListener('click', () => showJoin(!joinShown));
  enableKeys(deck);
  enableFullscreen(element('fullscreen'));
  enableCopyLink();

  deck.goTo(recall('slide'));
  showSlide();
  showJoinLink(remoteUrl(id), 'QR code with the link to the remote');
  showConnections();

  function showSlide() {
    const { index, count } = deck.position;
    element('slide-number').textContent = index + 1;
    element('slide-title').textContent = deck.current.title;
    element('slide-text').replaceChildren(...deck.current.text.map((text) => h('p', {}, text)));
    element('previous').setAttribute('aria-disabled', index === 0);
    element('next').setAttribute('aria-disabled', index === count - 1);
    [...element('dots').children].forEach((dot, at) => {
      dot.title = deck.slides[at].title;
      dot.classList.toggle('current', at === index);
    });
    setStage(index + 1, deck.isOverBroker);
    showFacts();
  }

  function showFacts() {
    element('live-facts').hidden = !deck.current.isLive;
    element('live-facts').textContent = liveFacts(phones);
  }

  function showConnections() {
    const { count, areOverBroker } = phones;
    const phonesText = `${count === 1 ? '1 phone' : `${count} phones`} connected${areOverBroker ? ' over the broker, encrypted' : ''}`;
    if (areOverBroker !== deck.isOverBroker) {
      deck.isOverBroker = areOverBroker;
      showSlide();
      phones.sendPosition();
    }
    if (lostBecause && isLostForGood) {
      setStatus('failed', `${count > 0 ? `${phonesText}. ` : ''}${lostBecause} New phones cannot connect: reload the page.`);
    } else if (lostBecause && count > 0 && !areOverBroker) {
      setStatus('retrying', `${phonesText}. The broker is not reachable: new phones have to wait.`);
    } else if (lostBecause) {
      setStatus('retrying', `${lostBecause} Trying again…`);
    } else if (count > 0) {
      setStatus('connected', phonesText);
    } else {
      setStatus('ready', hadPhone ? 'No phone connected' : 'Waiting for a phone');
    }
    // The code is no longer needed once the first phone is connected.
    if (count > 0 && !hadPhone) {
      hadPhone = true;
      showJoin(false);
    }
    element('stage-own-id').textContent = shortId(id);
    element('stage-phone-id').textContent = shortId(phones.someId);
    showFacts();
  }

  function showJoin(shown) {
    joinShown = shown;
    element('presenter').classList.toggle('without-join', !shown);
    element('join').hidden = !shown;
    element('toggle-join').setAttribute('aria-expanded', shown);
    element('toggle-join').textContent = shown ? 'Hide code' : 'Show code';
  }
}

const remoteUrl = (id) => pageUrl({}, String(new URLSearchParams({ remote: id })));

const shortId = (id = '') => `${id.slice(0, 4)}…`;

function liveFacts({ count, roundTrip }) {
  if (count === 0) return 'Connect a phone with the code to see it.';
  if (roundTrip === undefined) return '';
  const time = roundTrip.time < 1 ? 'less than a millisecond' : `${Math.round(roundTrip.time)} ms`;
  return `The last round trip took ${time} and ${roundTrip.isOverBroker ? 'went over the broker, encrypted' : 'did not touch the broker'}.`;
}

/** Each part of the picture lists the slides that show it, counted from 1. Some are of a direct connection. */
function setStage(number, isOverBroker) {
  element('stage').dataset.slide = number;
  const listed = (list) => list.split(' ').includes(String(number));
  for (const part of document.querySelectorAll('#stage [data-on]')) {
    part.classList.toggle('off', !listed(part.dataset.on) || (isOverBroker && 'direct' in part.dataset));
  }
  for (const part of document.querySelectorAll('#stage [data-faint-on]')) {
    part.classList.toggle('faint', listed(part.dataset.faintOn) && !isOverBroker);
  }
}

function enableKeys(deck) {
  const actions = {
    ArrowRight: deck.next,
    ArrowDown: deck.next,
    PageDown: deck.next,
    ' ': deck.next,
    ArrowLeft: deck.previous,
    ArrowUp: deck.previous,
    PageUp: deck.previous,
    Home: deck.first,
    End: deck.last,
    f: toggleFullscreen,
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    // Space presses the button that has the focus.
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.key === ' ' && target.closest('button, a, summary')) return;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
