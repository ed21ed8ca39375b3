import { askForSeat } from './attempt.js';

const FIRST_RETRY = 1_000;
const LAST_RETRY = 8_000;
const PING_EVERY = 2_000;
const SILENCE_ALLOWED = 6_000;
const SILENCE_ALLOWED_AFTER_WAKING = 2_500;

/** With these there is no use in asking again. */
const FINAL = new Set(['wrong room', 'no player', 'room full']);

/**
 * A place in a room, with a way back to it. Its events:
 *
 * - `joined`: for the first time, or again. `detail` is the computer's welcome;
 * - `message`: `detail` is what else the computer says;
 * - `lost`: another attempt goes on. `detail` is why the last one failed, if there was one;
 * - `ended`: for good, `detail` is the reason: one of those of `Refused`, `closed` or `replaced`.
 */
export class Seat extends EventTarget {
  #room;
  #name;
  #key;
  #current;
  /** An attempt to get another seat while there is one. */
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

  /** What it takes to come back. */
  get identity() {
    return { room: this.#room, name: this.#name, key: this.#key };
  }

  /** The first attempt; rejects with `Refused`. */
  async join() {
    this.#use(await askForSeat(this.identity));
  }

  /** As after a reload: tries until it is clear that there is no way back. */
  rejoin() {
    this.#lost();
  }

  send(message) {
    this.#current?.link.send(message);
  }

  /** Tries again now, if an attempt is to come. */
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

    // What an old link says must not touch its successor.
    const ifCurrent = (action) => (event) => seat === this.#current && !this.#isOver && action(event);
    seat.link.addEventListener('message', ifCurrent(({ detail }) => this.#receive(detail)));
    seat.link.addEventListener('close', ifCurrent(() => this.#lost()));
    seat.socketClosed.then(ifCurrent(() => this.#keepTheName(seat)));
    this.#tell('joined', seat.welcome);
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

  /** The link is gone, or as good as gone. */
  async #lost() {
    if (this.#isRejoining || this.#isOver) return;
    this.#isRejoining = true;
    this.#tell('lost');
    const lost = this.#current;
    // The computer closes a link once it has welcomed the same phone on another. To ask once more would
    // give that phone another name: its own is taken, by itself.
    await this.#besides;
    if (this.#current !== lost) {
      this.#isRejoining = false;
      return;
    }
    const { link, socket } = lost ?? {};
    this.#current = undefined;
    link?.close();
    // Only then is the name free.
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

  /** The computer has another room. The link holds until there is one for that, or else stays. */
  async #move(room) {
    this.#room = room;
    await this.#askBesides();
  }

  /** Before the start the broker keeps a name only for who has a socket; later it remembers all names. */
  async #keepTheName(seat) {
    for (let attempts = 0; seat === this.#current && this.#isInLobby && !this.#isOver; attempts += 1) {
      if (await this.#askBesides()) return;
      await this.#pause(Math.min(FIRST_RETRY * 2 ** attempts, LAST_RETRY));
    }
  }

  /** Resolves to whether there is no use in asking again. */
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

  /** A phone hardly ever hears that its connection is gone; it has to ask. */
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
