// Lengths are in units of the arena, times in seconds, angles in radians.

export const HEAD = 30;

const SPEED = 300;
const TURNING = 3.6;
const DOTS = 10;
const SMALL = { radius: 14, worth: 1 };
const GOLDEN = { radius: 22, worth: 3 };
const GOLDEN_SHARE = 0.12;
const TRAIL_STEP = 10;
const SHORTEST_TRAIL = 8;
const TRAIL_FOR_A_POINT = 3;

// Starting places in eighths of a circle, ordered so that a few players start far apart.
const PLACES = [0, 4, 2, 6, 1, 5, 3, 7];

const LANDSCAPE = { width: 1600, height: 900 };
const PORTRAIT = { width: 900, height: 1100 };

/** The positions of runners and dots. Independent of screen and network. */
export class Arena {
  #size = LANDSCAPE;
  #runners = new Map();
  #dots = [];
  #withDots = false;

  get size() {
    return this.#size;
  }

  get dots() {
    return this.#dots;
  }

  get runners() {
    return [...this.#runners.values()];
  }

  /** Restarts with an empty arena in the shape of the screen. */
  reset({ portrait, withDots }) {
    this.clear();
    this.#size = portrait ? PORTRAIT : LANDSCAPE;
    this.#runners.clear();
    this.#withDots = withDots;
    while (withDots && this.#dots.length < DOTS) this.#dots.push(this.#newDot());
  }

  /** Removes the dots. */
  clear() {
    this.#dots = [];
    this.#withDots = false;
  }

  /**
   * Advances by `time` seconds for these players; calls `onPoints(player)` when a player scores.
   * @param {number} time
   * @param {any[]} players
   * @param {(player: any) => void} onPoints
   */
  step(time, players, onPoints = () => {}) {
    for (const player of this.#runners.keys()) if (!players.includes(player)) this.#runners.delete(player);
    for (const player of players) if (!this.#runners.has(player)) this.#enter(player, players.indexOf(player));

    const moving = this.runners.filter(({ player }) => !player.away);
    for (const runner of moving) this.#move(runner, time);
    for (const [i, one] of moving.entries()) for (const other of moving.slice(i + 1)) bounce(one, other);
    for (const runner of moving) {
      this.#keepInside(runner);
      if (this.#withDots) this.#eat(runner, onPoints);
    }
  }

  #enter(player, place) {
    const { width, height } = this.#size;
    const angle = (PLACES[place] / PLACES.length) * 2 * Math.PI + Math.PI / 8;
    const x = width / 2 + Math.cos(angle) * width * 0.32;
    const y = height / 2 + Math.sin(angle) * height * 0.32;
    this.#runners.set(player, { player, x, y, heading: angle + Math.PI / 2, trail: [{ x, y }] });
  }

  #move(runner, time) {
    runner.heading += runner.player.turn * TURNING * time;
    runner.x += Math.cos(runner.heading) * SPEED * time;
    runner.y += Math.sin(runner.heading) * SPEED * time;

    const { trail } = runner;
    if (distance(runner, trail[0]) >= TRAIL_STEP) trail.unshift({ x: runner.x, y: runner.y });
    trail.length = Math.min(trail.length, SHORTEST_TRAIL + TRAIL_FOR_A_POINT * runner.player.points);
  }

  #keepInside(runner) {
    const { width, height } = this.#size;
    const x = clamp(runner.x, HEAD, width - HEAD);
    const y = clamp(runner.y, HEAD, height - HEAD);
    let along = Math.cos(runner.heading);
    let across = Math.sin(runner.heading);
    if (x !== runner.x) along = Math.sign(x - runner.x) * Math.abs(along);
    if (y !== runner.y) across = Math.sign(y - runner.y) * Math.abs(across);
    Object.assign(runner, { x, y, heading: Math.atan2(across, along) });
  }

  #eat(runner, onPoints) {
    for (const [i, dot] of this.#dots.entries()) {
      if (distance(runner, dot) > HEAD + dot.radius) continue;
      runner.player.points += dot.worth;
      this.#dots[i] = this.#newDot();
      onPoints(runner.player);
    }
  }

  /** A dot at a random place, away from runners and other dots. */
  #newDot() {
    const kind = Math.random() < GOLDEN_SHARE ? GOLDEN : SMALL;
    const margin = 2 * HEAD;
    const { width, height } = this.#size;
    let dot;
    for (let attempt = 0; attempt < 20; attempt += 1) {
      const x = margin + Math.random() * (width - 2 * margin);
      const y = margin + Math.random() * (height - 2 * margin);
      dot = { ...kind, x, y };
      const isNear = (other) => distance(dot, other) < 4 * HEAD;
      if (!this.runners.some(isNear) && !this.#dots.some(isNear)) break;
    }
    return dot;
  }
}

/** Two runners that touch turn away from each other. */
function bounce(one, other) {
  const apart = distance(one, other);
  if (apart >= 2 * HEAD) return;
  const direction = apart === 0 ? 0 : Math.atan2(one.y - other.y, one.x - other.x);
  const push = (2 * HEAD - apart) / 2;
  one.x += Math.cos(direction) * push;
  one.y += Math.sin(direction) * push;
  other.x -= Math.cos(direction) * push;
  other.y -= Math.sin(direction) * push;
  one.heading = direction;
  other.heading = direction + Math.PI;
}

const distance = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);

const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
