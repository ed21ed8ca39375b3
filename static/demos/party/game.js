import { Arena } from './arena.js';

const COUNTDOWN = 3;
const LONGEST_STEP = 0.1;

/**
 * Runs the rounds. Its `phase` is `lobby`, `countdown`, `round` or `over`; in the lobby and after
 * the round, players can move freely. Calls `onPhase()` and `onPoints(player)`.
 */
export class Game {
  arena = new Arena();
  phase = 'lobby';

  /** Seconds until the phase ends, in `countdown` and `round`. */
  remaining = 0;

  #players;
  #seconds;
  #isPortrait;
  #onPhase;
  #onPoints;

  constructor({ players, seconds, isPortrait, onPhase, onPoints }) {
    this.#players = players;
    this.#seconds = seconds;
    this.#isPortrait = isPortrait;
    this.#onPhase = onPhase;
    this.#onPoints = onPoints;
    this.#reset(false);
  }

  /** Calls `draw()` after each step, as often as the screen can show it. */
  run(draw) {
    let last;
    const frame = (now) => {
      // After a pause, such as in a background tab, the game continues where it was.
      const elapsed = Math.min((now - (last ?? now)) / 1_000, LONGEST_STEP);
      last = now;
      this.#step(elapsed);
      draw();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  get isRunning() {
    return this.phase === 'countdown' || this.phase === 'round';
  }

  /** True if a round is paused because all players are away. */
  get isPaused() {
    return this.isRunning && this.#players.present.length === 0;
  }

  begin() {
    this.#players.startAfresh();
    this.#reset(true);
    this.#enter('countdown', COUNTDOWN);
  }

  #step(elapsed) {
    if (this.isPaused) return;
    if (this.phase !== 'countdown') this.arena.step(elapsed, this.#players.all, this.#onPoints);
    if (!this.isRunning) return;
    this.remaining -= elapsed;
    if (this.remaining > 0) return;
    if (this.phase === 'countdown') {
      this.#enter('round', this.#seconds);
    } else {
      this.arena.clear();
      this.#enter('over', 0);
    }
  }

  #enter(phase, seconds) {
    this.phase = phase;
    this.remaining = seconds;
    this.#onPhase();
  }

  #reset(withDots) {
    this.arena.reset({ portrait: this.#isPortrait(), withDots });
    // Shows everybody where they start.
    this.arena.step(0, this.#players.all);
  }
}
