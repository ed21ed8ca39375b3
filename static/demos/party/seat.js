import { askForSeat } from './attempt.js';

const FIRST_RETRY = 1_000;
const LAST_RETRY = 8_000;
const PING_EVERY = 2_000;
const SILENCE_ALLOWED = 6_000;
const SILENCE_ALLOWED_AFTER_WAKING = 2_500;

/** Retrying is useless after these errors. */
const FINAL = new Set(['wrong room', 'no player', 'room full']);

/**
 * A place in a room that reconnects by itself. Its events:
 *
 * - `joined`: joined or rejoined. `detail` is the computer's welcome;
 * - `overBroker`: the data of this place goes over the broker;
 * - `message`: `detail` is any other message of the computer;
 * - `lost`: disconnected and retrying. `detail` is the error of the last attempt, if there was one;
 * - `ended`: gave up. `detail` is the reason: one of `Refused`, `closed` or `replaced`.
 */
export class Seat extends EventTarget {
  #room;
  #name;
  #key;
  #current;
  /** An attempt to get a new seat while the current one still works. */
  #besides;
  #isOver = false;
  #isRejoining = false;
  #isInLobby = true;
  #heardAt = 0;
  #pingedAt = 0;
  #hurry = () => {};

  constructor({ room, name, key }) {
    super();
    this.#room = room;
    this.#name = name;
    this.#key = key;
    document.addEventListener('visibilitychange', () => this.#visibilityChanged());
    setInterval(() => this.#watch(), 1_000);
  }

  /** The values needed to rejoin. */
  get identity() {
    return { room: this.#room, name: this.#name, key: this.#key };
  }

  /** The first attempt; rejects with `Refused`. */
  async join() {
    this.#use(await askForSeat(this.identity));
  }

  /** Rejoins after a reload: retries until the error is final. */
  rejoin() {
    this.#lost();
  }

  send(message) {
    this.#current?.link.send(message);
  }

  /** Makes the next attempt now, if one is scheduled. */
  hurry() {
    this.#hurry();
  }

  leave() {
    this.send({ type: 'bye' });
    this.#current?.socket.close();
  }

  #use(seat) {
    this.#current?.link.close();
    this.#current?.socket.close();
    this.#current = seat;
    this.#name = seat.welcome.name;
    this.#heardAt = Date.now();

    // Events of an old link must not affect the new one.
    const ifCurrent = (action) => (event) => seat === this.#current && !this.#isOver && action(event);
    seat.link.addEventListener('message', ifCurrent(({ detail }) => this.#receive(detail)));
    seat.link.addEventListener('close', ifCurrent(() => this.#lost()));
    seat.socketClosed.then(ifCurrent(() => this.#keepTheName(seat)));
    this.#tell('joined', seat.welcome);
    seat.link.isOverBroker().then(ifCurrent((isOverBroker) => isOverBroker && this.#tell('overBroker')));
    if (seat.welcome.room !== this.#room) this.#move(seat.welcome.room);
  }

  #receive(message) {
    this.#heardAt = Date.now();
    if (message.type === 'bye') this.#end('closed');
    else if (message.type === 'replaced') this.#end('replaced');
    else if (message.type === 'room') this.#move(message.room);
    else if (message.type !== 'pong') {
      if (message.type === 'state') this.#isInLobby = message.phase === 'lobby';
      this.#tell('message', message);
    }
  }

  /** Rejoins because the link is closed or silent. */
  async #lost() {
    if (this.#isRejoining || this.#isOver) return;
    this.#isRejoining = true;
    this.#tell('lost');
    const lost = this.#current;
    // The computer closes the old link when it has welcomed this phone on a new one. Joining once more would
    // get another name, because the new link already uses this one.
    await this.#besides;
    if (this.#current !== lost) {
      this.#isRejoining = false;
      return;
    }
    const { link, socket } = lost ?? {};
    this.#current = undefined;
    link?.close();
    // The name is free only after the socket has closed.
    await socket?.close();

    for (let attempts = 0; !this.#isOver; attempts += 1) {
      try {
        this.#use(await askForSeat(this.identity));
        break;
      } catch (error) {
        if (FINAL.has(error.reason)) this.#end(error.reason === 'wrong room' ? 'closed' : error.reason);
        else this.#tell('lost', error);
      }
      await this.#pause(Math.min(FIRST_RETRY * 2 ** attempts, LAST_RETRY));
    }
    this.#isRejoining = false;
  }

  /** Joins the computer's new room. The old link stays until that works. */
  async #move(room) {
    this.#room = room;
    await this.#askBesides();
  }

  /** Before the start, the broker frees a name when its socket closes, so this rejoins at once. */
  async #keepTheName(seat) {
    for (let attempts = 0; seat === this.#current && this.#isInLobby && !this.#isOver; attempts += 1) {
      if (await this.#askBesides()) return;
      await this.#pause(Math.min(FIRST_RETRY * 2 ** attempts, LAST_RETRY));
    }
  }

  /** Resolves to true if retrying is useless: it worked, or the error is final. */
  #askBesides() {
    return (this.#besides = this.#tryBesides());
  }

  async #tryBesides() {
    try {
      this.#use(await askForSeat(this.identity));
      return true;
    } catch (error) {
      return FINAL.has(error.reason);
    }
  }

  #end(reason) {
    this.#isOver = true;
    this.#current?.link.close();
    this.#current?.socket.close();
    this.#tell('ended', reason);
  }

  #pause(time) {
    return new Promise((resolve) => {
      this.#hurry = resolve;
      setTimeout(resolve, time);
    });
  }

  /** A phone rarely notices a dead connection, so it pings. */
  #watch() {
    if (!this.#current || this.#isOver || document.hidden) return;
    const now = Date.now();
    if (now - this.#heardAt > SILENCE_ALLOWED) this.#lost();
    else if (now - this.#pingedAt >= PING_EVERY) this.#ping();
  }

  #ping() {
    this.#pingedAt = Date.now();
    this.send({ type: 'ping' });
  }

  #visibilityChanged() {
    if (document.hidden) return;
    this.#heardAt = Date.now() - SILENCE_ALLOWED + SILENCE_ALLOWED_AFTER_WAKING;
    this.#ping();
    this.hurry();
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
