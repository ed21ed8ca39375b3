import { setText } from '../../shared/set-text.js';
import { keepAwake } from '../../shared/awake.js';
import { enableFullscreen } from '../../shared/fullscreen.js';
import { pageUrl } from '../../shared/settings.js';
import { setStatus } from '../../shared/status.js';
import { enableCopyLink, showJoinLink } from '../../shared/join-link.js';
import { Game } from './game.js';
import { count, names } from './grammar.js';
import { Picture } from './picture.js';
import { Players } from './players.js';
import { Room } from './room.js';
import { showScores } from './scores.js';
import { LOST, START_LABELS } from './words.js';

const ROUND = 45;

const element = (id) => document.getElementById(id);

export function startHost() {
  new Host().start();
}

class Host {
  #players = new Players(() => this.#playersChanged());
  #room;
  #isOpening = false;
  #game = new Game({
    players: this.#players,
    seconds: secondsOfARound(),
    isPortrait: () => matchMedia('(max-width: 48rem) and (orientation: portrait)').matches,
    onPhase: () => this.#phaseChanged(),
    onPoints: () => this.#tellPlayers(),
  });

  start() {
    const picture = new Picture(element('arena'));
    this.#game.run(() => {
      picture.draw(this.#game.arena);
      this.#showTime();
    });
    element('start').addEventListener('click', () => this.#begin());
    element('new-room').addEventListener('click', () => this.#openRoom());
    element('retry').addEventListener('click', () => this.#openRoom());
    window.addEventListener('pagehide', () => this.#players.tell(() => ({ type: 'bye' })));
    enableFullscreen(element('fullscreen'));
    enableCopyLink();
    this.#openRoom();
    this.#phaseChanged();
  }

  /** Opens a room, or a new one, to which present players move. */
  async #openRoom() {
    if (this.#isOpening) return;
    this.#isOpening = true;
    this.#showStatus();
    const room = new Room();
    try {
      await room.open();
    } catch (error) {
      this.#showProblem('No room is open', error.message);
      return;
    } finally {
      this.#isOpening = false;
      this.#showStatus();
    }

    this.#room?.close();
    this.#room = room;
    room.addEventListener('arrived', ({ detail }) => this.#arrived(detail));
    room.addEventListener('lost', () => room === this.#room && this.#showProblem(LOST.title, LOST.advice));
    element('problem').hidden = true;
    element('room-code').textContent = room.code;
    element('room-reminder').textContent = `Room ${room.code}`;
    showJoinLink(pageUrl({ room: room.code }), 'QR code with the link to this game');
    this.#players.tell(() => ({ type: 'room', room: room.code }));
    this.#showRoom();
  }

  #arrived({ link, name, key }) {
    const player = this.#players.seat({ link, name, key }, this.#room.locked);
    if (!player) {
      // The player closes the link after reading this.
      link.send({ type: 'full' });
      return;
    }
    link.send({ type: 'welcome', name, colour: player.colour, room: this.#room.code });
    this.#tellPlayers();
  }

  #begin() {
    if (!this.#canBegin) return;
    if (this.#room && !this.#room.locked) this.#room.lock();
    keepAwake();
    this.#game.begin();
  }

  get #canBegin() {
    return !this.#game.isRunning && this.#players.present.length > 0;
  }

  #phaseChanged() {
    this.#showHeadline();
    this.#showRoom();
    this.#playersChanged();
  }

  #playersChanged() {
    element('start').setAttribute('aria-disabled', !this.#canBegin);
    this.#showStatus();
    this.#tellPlayers();
  }

  #tellPlayers() {
    const { all, leaders } = this.#players;
    const { phase } = this.#game;
    showScores(all, phase);
    this.#players.tell(({ name, points }) => ({
      type: 'state',
      phase,
      points,
      place: 1 + all.filter((other) => other.points > points).length,
      players: all.length,
      best: leaders[0]?.points ?? 0,
      leaders: names(leaders),
      // Those who share the first place with this player.
      tied: names(leaders.filter((other) => points === other.points && name !== other.name)),
    }));
  }

  #showHeadline() {
    const { leaders } = this.#players;
    const texts = {
      lobby: 'Dot hunt',
      countdown: 'Get ready',
      round: 'Go!',
      over: verdict(leaders),
    };
    element('headline').textContent = texts[this.#game.phase];
    element('host').dataset.phase = this.#game.phase;
    element('rules-seconds').textContent = secondsOfARound();
    element('start').textContent = START_LABELS[this.#game.phase];
  }

  #showTime() {
    const { phase, remaining, isPaused } = this.#game;
    const seconds = Math.max(0, Math.ceil(remaining));
    setText(element('countdown'), isPaused ? 'Waiting' : phase === 'countdown' ? String(seconds) : '');
    setText(element('clock'), phase === 'round' ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}` : '');
  }

  /** Shows the code only while new players can join. */
  #showRoom() {
    const isInviting = this.#room ? this.#room.isOpen && !this.#room.locked : this.#isOpening;
    element('host').classList.toggle('without-join', !isInviting);
    element('join').hidden = !isInviting;
    element('room-reminder').hidden = isInviting || !this.#room?.isOpen;
    element('new-room').hidden = isInviting || this.#game.phase !== 'over' || !element('problem').hidden;
    this.#showStatus();
  }

  #showProblem(title, advice) {
    element('problem-title').textContent = title;
    element('problem-advice').textContent = advice;
    element('problem').hidden = false;
    this.#showRoom();
  }

  #showStatus() {
    const { all, present } = this.#players;
    const away = all.length - present.length;
    const players = `${count(all.length, 'player')}${away > 0 ? `, ${away} away` : ''}`;
    element('retry').textContent = this.#isOpening ? 'Opening…' : 'Open a new room';
    if (this.#isOpening && !this.#room) setStatus('connecting', 'Opening a room…');
    else if (!this.#room?.isOpen) setStatus('failed', all.length > 0 ? `${players}, no room` : 'No room');
    else if (all.length > 0) setStatus('connected', players);
    else setStatus('ready', 'Waiting for players');
  }
}

function verdict(leaders) {
  if (leaders.length === 0) return 'Nobody found a dot';
  const points = count(leaders[0].points, 'point');
  return leaders.length === 1 ? `${names(leaders)} wins with ${points}` : `A tie: ${names(leaders)} have ${points} each`;
}

/** 45, or the value in the address: `?seconds=90`. */
function secondsOfARound() {
  const wanted = Number(new URLSearchParams(location.search).get('seconds'));
  return wanted >= 3 && wanted <= 600 ? wanted : ROUND;
}
