export const MOST_PLAYERS = 8;

const SILENCE_ALLOWED = 5_000;

/**
 * Those who play, in the order in which they came. Who is out of reach is `away` and keeps place,
 * colour and points. Calls `onChange()` when one comes, goes or returns.
 */
export class Players {
  #list = [];
  #onChange;

  constructor(onChange) {
    this.#onChange = onChange;
    setInterval(() => this.#watch(), 1_000);
  }

  get all() {
    return this.#list;
  }

  get present() {
    return this.#list.filter((player) => !player.away);
  }

  /** Those who are first, if anybody has points. */
  get leaders() {
    const best = Math.max(0, ...this.#list.map(({ points }) => points));
    return best > 0 ? this.#list.filter(({ points }) => points === best) : [];
  }

  /**
   * Whoever came through this link: a player who was here already, by the key of the device or, in a
   * room that is locked, by the name; else a new one. Nothing if there is no place.
   */
  seat({ link, name, key }, locked) {
    let player = this.#list.find((known) => known.key === key);
    player ??= locked ? this.#list.find((known) => known.name === name) : undefined;

    if (player) {
      // Another device has the name now. The old link of the same device just ends.
      if (player.key !== key) player.link.send({ type: 'replaced' });
      player.link.close();
    } else {
      player = this.#add();
      if (!player) return undefined;
    }
    Object.assign(player, { link, name, key, away: false, left: false, turn: 0, heardAt: Date.now() });
    this.#listen(player, link);
    this.#onChange();
    return player;
  }

  /** A round begins: nobody has points yet, and who has left is no longer expected. */
  startAfresh() {
    for (const player of this.#list.filter(({ left }) => left)) this.#remove(player);
    for (const player of this.#list) Object.assign(player, { points: 0, isNew: false });
    this.#onChange();
  }

  /** Tells each player what `message(player)` returns. */
  tell(message) {
    for (const player of this.#list) player.link.send(message(player));
  }

  #add() {
    if (this.#list.length >= MOST_PLAYERS) {
      const gone = this.#list.find(({ away, isNew }) => away && isNew);
      if (gone) this.#remove(gone);
    }
    if (this.#list.length >= MOST_PLAYERS) return undefined;

    const taken = new Set(this.#list.map(({ colour }) => colour));
    const colour = Array.from({ length: MOST_PLAYERS }, (_, i) => i + 1).find((free) => !taken.has(free));
    const player = { colour, points: 0, isNew: true };
    this.#list.push(player);
    return player;
  }

  #remove(player) {
    player.link.close();
    this.#list = this.#list.filter((other) => other !== player);
  }

  #listen(player, link) {
    // What an old link says must not touch its successor.
    const ifCurrent = (action) => (event) => player.link === link && action(event);
    link.addEventListener('message', ifCurrent(({ detail }) => this.#receive(player, detail)));
    link.addEventListener('close', ifCurrent(() => this.#setAway(player, true)));
  }

  #receive(player, message) {
    player.heardAt = Date.now();
    if (message.type === 'bye') {
      // Before anything has begun there is nothing to come back to.
      player.left = true;
      if (player.isNew) this.#remove(player);
    }
    this.#setAway(player, player.left);
    if (message.type === 'steer') player.turn = Math.sign(message.turn) || 0;
    if (message.type === 'ping') player.link.send({ type: 'pong' });
  }

  #setAway(player, away) {
    if (player.away === away) return;
    player.away = away;
    player.turn = 0;
    this.#onChange();
  }

  /** A device that sleeps does not say so. */
  #watch() {
    const now = Date.now();
    for (const player of this.#list) {
      if (now - player.heardAt > SILENCE_ALLOWED) this.#setAway(player, true);
    }
  }
}
