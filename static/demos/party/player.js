import { setText } from '../../shared/set-text.js';
import { randomHex } from '../../client/random.js';
import { keepAwake } from '../../shared/awake.js';
import { COLOURS } from '../../shared/colour-names.js';
import { pageUrl } from '../../shared/settings.js';
import { setStatus } from '../../shared/status.js';
import { remember, take } from '../../shared/storage.js';
import { count, nth } from './grammar.js';
import { Seat } from './seat.js';
import { enableSteering } from './steering.js';
import { NO_SEAT } from './words.js';

const STORED = 'party';

const element = (id) => document.getElementById(id);

export function startPlayer(room) {
  document.title = 'Join the game – peerbroker';
  new Player(room).start();
}

class Player {
  #seat;
  #wantedName = '';
  #points = 0;
  #stored = take(STORED);

  constructor(room) {
    element('room').value = room.toUpperCase();
    element('seat-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#join();
    });
    element('seat-retry').addEventListener('click', () => this.#seat?.hurry());
    enableSteering([element('left'), element('right')], (turn) => this.#seat?.send({ type: 'steer', turn }));
    window.addEventListener('pagehide', () => {
      if (!this.#seat) return;
      remember(STORED, this.#seat.identity);
      this.#seat.leave();
    });
  }

  start() {
    const stored = this.#stored;
    if (stored && stored.room === element('room').value) {
      element('name').value = this.#wantedName = stored.name;
      this.#listen(new Seat(stored));
      this.#showPlace('pads');
      this.#seat.rejoin();
    } else {
      this.#showForm();
      element(element('room').value ? 'name' : 'room').focus();
    }
  }

  async #join() {
    const room = element('room').value.trim().toUpperCase();
    const name = element('name').value.trim();
    if (this.#seat) return;
    if (!room || !name) {
      this.#showError(room ? 'Enter a name.' : 'Enter the code of the room.');
      return;
    }
    this.#wantedName = name;
    // The key identifies the device even if the broker changes its name.
    const key = this.#stored?.key ?? randomHex(16);
    this.#stored = { room, name, key };

    const seat = new Seat({ room, name, key });
    this.#listen(seat);
    this.#showError('');
    element('take-seat').setAttribute('aria-disabled', 'true');
    setStatus('connecting', 'Joining…');
    try {
      await seat.join();
    } catch (error) {
      this.#seat = undefined;
      this.#showForm();
      this.#showError(NO_SEAT[error.reason] ?? error.message);
    }
  }

  #listen(seat) {
    this.#seat = seat;
    seat.addEventListener('joined', ({ detail }) => this.#joined(detail));
    seat.addEventListener('message', ({ detail }) => detail.type === 'state' && this.#showState(detail));
    seat.addEventListener('overBroker', () => this.#tellColour(', over the broker, encrypted'));
    seat.addEventListener('lost', ({ detail }) => this.#lost(detail));
    seat.addEventListener('ended', ({ detail }) => {
      this.#seat = undefined;
      this.#showForm();
      this.#showError(NO_SEAT[detail]);
    });
  }

  #joined({ name, colour, room }) {
    this.#showPlace('pads');
    this.#showRoom(room);
    document.body.dataset.colour = colour;
    element('seat-problem').hidden = true;
    element('my-name').textContent = name;
    element('renamed').hidden = name === this.#wantedName;
    element('renamed').textContent = `The name ${this.#wantedName} is taken, so you are ${name}.`;
    this.#wantedName = name;
    this.#tellColour();
    keepAwake();
  }

  #tellColour(way = '') {
    setStatus('connected', `You are ${COLOURS[Number(document.body.dataset.colour)]}${way}`);
  }

  /** Puts the room into the form and the address, for a reload. */
  #showRoom(room) {
    element('room').value = room;
    history.replaceState(null, '', pageUrl({ room }));
  }

  #lost(error) {
    setStatus('retrying', 'Reconnecting…');
    // A link that broke while the phone slept usually reconnects at once, so say nothing yet.
    element('seat-problem').hidden = !error;
    if (error) element('seat-problem-advice').textContent = NO_SEAT[error.reason] ?? error.message;
  }

  #showState({ phase, points, place, players, best, leaders, tied }) {
    const isNew = points > this.#points;
    this.#points = points;
    // Browsers log an error if a page vibrates before the user has touched it.
    if (isNew && navigator.userActivation?.hasBeenActive) navigator.vibrate?.(30);

    element('my-points').textContent = phase === 'lobby' ? '' : count(points, 'point');
    const texts = {
      lobby: 'You are in. Try the steering until the game starts.',
      countdown: 'Get ready…',
      round: players > 1 && best > 0 ? `You are ${nth(place)} of ${players}` : 'Collect the dots!',
      over: verdict({ points, best, leaders, tied }),
    };
    setText(element('my-state'), texts[phase] ?? '');
  }

  #showPlace(place) {
    element('seat-form').hidden = place !== 'form';
    element('seat').hidden = place !== 'pads';
  }

  #showForm() {
    this.#showPlace('form');
    delete document.body.dataset.colour;
    element('take-seat').setAttribute('aria-disabled', 'false');
    setStatus('ready', 'Not in a game yet');
  }

  #showError(text) {
    element('seat-error').textContent = text;
    element('seat-error').hidden = !text;
    if (text) setStatus('failed', 'Not in a game');
  }
}

function verdict({ points, best, leaders, tied }) {
  if (best === 0) return 'Nobody found a dot.';
  if (points < best) return `${leaders} won with ${count(best, 'point')}.`;
  return tied ? `A tie: you share the win with ${tied}.` : 'You win!';
}
