import { keepAwake } from '../../shared/awake.js';
import { VALID_ID } from '../../shared/ask-broker.js';
import { wayOfEnd } from '../../client/connection-stats.js';
import { watchLoss } from '../../shared/peer.js';
import { setStatus } from '../../shared/status.js';

const DIAL_WAIT = 15_000;
const REDIAL_AFTER = 2_000;
const PING_EVERY = 3_000;
const SILENCE_ALLOWED = 8_000;
const SILENCE_ALLOWED_AFTER_WAKING = 2_500;

const PROBLEMS = {
  link: {
    title: 'This link is incomplete',
    advice: 'Scan the code on the presentation’s screen again, or copy the whole link.',
    isFinal: true,
  },
  broker: { title: 'The broker cannot be reached' },
  refused: { title: 'The broker refuses this phone', isFinal: true },
  absent: {
    title: 'The presentation is not open',
    advice:
      'Open it on the computer, and keep it open. If it shows a new code, scan that one: every ' +
      'presentation has its own link.',
  },
  silent: {
    title: 'The presentation does not answer',
    advice: 'It may be asleep. Wake the computer and bring the presentation to the front.',
  },
  direct: {
    title: 'No direct connection to the computer',
    advice:
      'The broker works, but the devices cannot reach each other directly. Put both on the same Wi-Fi, not ' +
      'on a guest network, and turn off VPN and mobile data.',
  },
};

const element = (id) => document.getElementById(id);

/** `peer` is open. */
export function startRemote(peer, presenterId) {
  document.title = 'Remote – peerbroker';
  showPosition();
  if (!VALID_ID.test(presenterId)) {
    showProblem('link');
    element('retry').hidden = true;
    return;
  }
  new Remote(peer, presenterId);
}

class Remote {
  #peer;
  #presenterId;
  /** Why the peer has lost the broker. */
  #why;
  #connection;
  /** True if the data of the connection goes over the broker. */
  #isOverBroker = false;
  #dialTimer;
  #redialTimer;
  #lastHeard = 0;
  #lastPing = 0;
  #roundTrip;

  constructor(peer, presenterId) {
    this.#peer = peer;
    this.#presenterId = presenterId;

    peer.on('open', () => this.#brokerFound());
    watchLoss(peer, (why) => {
      this.#why = why;
      this.#brokerLost();
    });
    peer.on('error', (error) => error.type === 'peer-unavailable' && this.#dialFailed('absent'));

    for (const command of ['next', 'previous']) {
      element(`remote-${command}`).addEventListener('click', () => this.#send(command));
    }
    element('retry').addEventListener('click', () => this.#retry());
    document.addEventListener('visibilitychange', () => this.#visibilityChanged());
    setInterval(() => this.#watch(), 1_000);
    setStatus('connecting', 'Connecting…');
    this.#dial();
  }

  get #isConnected() {
    return Boolean(this.#connection?.open);
  }

  #dial() {
    clearTimeout(this.#redialTimer);
    if (this.#isConnected) return;
    this.#hangUp();
    if (!this.#peer.open) {
      showProblem(this.#peer.willReconnect ? 'broker' : 'refused', this.#why);
      return;
    }

    const connection = this.#peer.connect(this.#presenterId, { reliable: true, serialization: 'json' });
    // Events of an abandoned connection must not affect the new one.
    const ifCurrent = (action) => (argument) => connection === this.#connection && action(argument);

    this.#connection = connection;
    this.#dialTimer = setTimeout(
      ifCurrent(() => this.#dialFailed(wasAnswered(connection) ? 'direct' : 'silent')),
      DIAL_WAIT,
    );
    connection.on('open', ifCurrent(() => this.#connected()));
    connection.on('data', ifCurrent((message) => this.#receive(message)));
    connection.on('close', ifCurrent(() => this.#connectionLost()));
    connection.on('error', ifCurrent(() => !connection.open && this.#dialFailed('direct')));
  }

  #hangUp() {
    clearTimeout(this.#dialTimer);
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.close();
  }

  async #connected() {
    clearTimeout(this.#dialTimer);
    this.#lastHeard = Date.now();
    this.#ping();
    hideProblem();
    keepAwake();
    const connection = this.#connection;
    const isOverBroker = (await wayOfEnd(connection.peerConnection).catch(() => undefined)) === 'pipe';
    if (connection !== this.#connection) return;
    this.#isOverBroker = isOverBroker;
    this.#tellConnected();
  }

  #tellConnected() {
    if (this.#isOverBroker && !this.#peer.open) setStatus('retrying', 'Reconnecting…');
    else if (this.#isOverBroker) setStatus('connected', 'Connected over the broker, encrypted');
    else setStatus('connected', this.#peer.open ? 'Connected' : 'Connected; the broker is not reachable');
  }

  #connectionLost() {
    this.#hangUp();
    enablePads(false);
    setStatus('retrying', 'Reconnecting…');
    this.#redialLater();
  }

  #dialFailed(problem) {
    if (this.#isConnected) return;
    this.#hangUp();
    showProblem(problem);
    // The socket may be dead although it looks open, for example after a locked screen.
    if (problem === 'silent') this.#renew();
    this.#redialLater();
  }

  #brokerFound() {
    if (this.#isConnected) this.#tellConnected();
    else this.#dial();
  }

  #brokerLost() {
    // The remote works without the broker while its connection is open. A socket that broke while the phone slept usually
    // reconnects at once.
    if (this.#isConnected) this.#tellConnected();
    else if (this.#peer.willReconnect) this.#connectionLost();
    else this.#dial();
  }

  /** Replaces the socket, which may be dead although it looks open. */
  #renew() {
    if (this.#peer.open) this.#peer.disconnect();
    this.#peer.reconnect();
  }

  #redialLater() {
    clearTimeout(this.#redialTimer);
    this.#redialTimer = setTimeout(() => this.#dial(), REDIAL_AFTER);
  }

  #retry() {
    setStatus('connecting', 'Connecting…');
    hideProblem();
    this.#hangUp();
    this.#renew();
    this.#redialLater();
  }

  #send(type) {
    if (this.#isConnected) this.#connection.send({ type });
  }

  #receive(message) {
    this.#lastHeard = Date.now();
    if (message?.type === 'position' || message?.type === 'pong') showPosition(message);
    if (message?.type === 'pong') this.#roundTrip = performance.now() - message.sentAt;
  }

  #ping() {
    this.#lastPing = Date.now();
    this.#connection.send({ type: 'ping', sentAt: performance.now(), roundTrip: this.#roundTrip });
  }

  /** A phone rarely notices a dead connection, so it pings. */
  #watch() {
    if (!this.#isConnected || document.hidden) return;
    const now = Date.now();
    if (now - this.#lastHeard > SILENCE_ALLOWED) {
      this.#connectionLost();
      this.#renew();
    } else if (now - this.#lastPing >= PING_EVERY) {
      this.#ping();
    }
  }

  #visibilityChanged() {
    if (document.hidden) return;
    if (this.#isConnected) {
      this.#lastHeard = Date.now() - SILENCE_ALLOWED + SILENCE_ALLOWED_AFTER_WAKING;
      this.#ping();
    } else if (this.#peer.open) {
      this.#dial();
    } else {
      this.#redialLater();
    }
  }
}

const wasAnswered = ({ peerConnection }) => Boolean(peerConnection?.remoteDescription);

function showPosition(position) {
  const known = position !== undefined;
  const { index, count, title, upcoming } = position ?? {};
  element('remote-number').textContent = known ? `Slide ${index + 1} of ${count}` : '';
  element('remote-title').textContent = known ? title : 'Slide remote';
  element('remote-upcoming').textContent = known ? (upcoming ? `Next: ${upcoming}` : 'This is the last slide') : '';
  enablePads(known, index, count);
}

function enablePads(enabled, index = 0, count = 0) {
  element('remote-previous').disabled = !enabled || index === 0;
  element('remote-next').disabled = !enabled || index === count - 1;
}

function showProblem(name, advice = PROBLEMS[name].advice) {
  const { title, isFinal } = PROBLEMS[name];
  setStatus('failed', isFinal ? 'Not connected' : 'Trying again…');
  const section = element('problem');
  section.dataset.problem = name;
  element('problem-title').textContent = title;
  element('problem-advice').textContent = advice;
  section.hidden = false;
}

function hideProblem() {
  element('problem').hidden = true;
}
