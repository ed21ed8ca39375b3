const MOST_PLAYERS = 8;

const SILENCE_ALLOWED = 5_000;

/**
 * The players in the order in which they joined. A disconnected player is `away` and keeps place,
 * colour and points. Calls `onChange()` when a player joins, leaves or returns.
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

  /** The players with the most points, if anybody has points. */
  get leaders() {
    const best = Math.max(0, ...this.#list.map(({ points }) => points));
    return best > 0 ? this.#list.filter(({ points }) => points === best) : [];
  }

  /**
   * Returns the player for this link: a known one with the same device key or, in a locked room, the
   * same name; otherwise a new one. Returns undefined if the game is full.
   */
  seat({ link, name, key }, locked) {
    let player = this.#list.find((known) => known.key === key);
    player ??= locked ? this.#list.find((known) => known.name === name) : undefined;

    if (player) {
      // Another device took over the name. An old link of the same device is just closed.
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

  /** Starts a round: resets the points and removes players who have left. */
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
    // Events of an old link must not affect the new one.
    const ifCurrent = (action) => (event) => player.link === link && action(event);
    link.addEventListener('message', ifCurrent(({ detail }) => this.#receive(player, detail)));
    link.addEventListener('close', ifCurrent(() => this.#setAway(player, true)));
  }

  #receive(player, message) {
    player.heardAt = Date.now();
    if (message.type === 'bye') {
      // Before the first round a player has nothing to come back to.
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

  /** A sleeping device sends nothing, so silence means away. */
  #watch() {
    const now = Date.now();
    for (const player of this.#list) {
      if (now - player.heardAt > SILENCE_ALLOWED) this.#setAway(player, true);
    }
  }
}
