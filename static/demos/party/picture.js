import { HEAD } from './arena.js';

const FULL_TURN = 2 * Math.PI;
const GRID = 100;
const EYE = { ahead: 12, aside: 11, radius: 9, pupil: 4.5, look: 3 };

/** Draws an arena on a canvas, with the colours of the style sheet. */
export class Picture {
  #canvas;
  #context;
  #colours;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d');
    this.#readColours();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#readColours());
  }

  draw(arena) {
    const { width, height } = arena.size;
    const canvas = this.#canvas;
    const context = this.#context;
    canvas.dataset.shape = width > height ? 'landscape' : 'portrait';

    // One canvas pixel per screen pixel; the style sheet keeps the proportions.
    const scale = Math.min(canvas.clientWidth / width, canvas.clientHeight / height) * devicePixelRatio;
    if (!scale) return;
    const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });

    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    this.#drawFloor(width, height);
    for (const dot of arena.dots) this.#drawDot(dot);
    for (const runner of arena.runners) this.#drawTrail(runner);
    for (const runner of arena.runners) this.#drawHead(runner);
    // Keeps names readable in a small arena.
    const letters = Math.max(30, (12 * devicePixelRatio) / scale);
    for (const runner of arena.runners) this.#drawName(runner, letters, width, height);
  }

  #readColours() {
    const style = getComputedStyle(this.#canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    this.#colours = {
      ink: colour('ink'),
      card: colour('card'),
      line: colour('line'),
      dot: colour('accent'),
      golden: colour('golden'),
      players: Array.from({ length: 9 }, (_, i) => colour(`player-${i}`)),
    };
  }

  #drawFloor(width, height) {
    const context = this.#context;
    context.beginPath();
    context.roundRect(1, 1, width - 2, height - 2, HEAD);
    context.fillStyle = this.#colours.card;
    context.fill();
    context.strokeStyle = this.#colours.line;
    context.lineWidth = 2;
    context.stroke();
    context.fillStyle = this.#colours.line;
    for (let x = GRID / 2; x < width; x += GRID) {
      for (let y = GRID / 2; y < height; y += GRID) this.#fillCircle(x, y, 2.5);
    }
  }

  #drawDot({ x, y, radius, worth }) {
    const isGolden = worth > 1;
    this.#context.fillStyle = isGolden ? this.#colours.golden : this.#colours.dot;
    this.#fillCircle(x, y, radius);
    if (!isGolden) return;
    this.#context.fillStyle = this.#colours.card;
    this.#context.font = `700 ${radius * 1.5}px system-ui, sans-serif`;
    this.#context.textAlign = 'center';
    this.#context.textBaseline = 'middle';
    this.#context.fillText(worth, x, y + 1);
  }

  #drawTrail({ player, trail, x, y }) {
    const context = this.#context;
    context.beginPath();
    context.moveTo(x, y);
    for (const point of trail) context.lineTo(point.x, point.y);
    context.globalAlpha = player.away ? 0.15 : 0.4;
    context.strokeStyle = this.#colours.players[player.colour];
    context.lineWidth = HEAD * 1.2;
    context.lineCap = 'round';
    context.lineJoin = 'round';
    context.stroke();
    context.globalAlpha = 1;
  }

  #drawHead({ player, x, y, heading }) {
    const context = this.#context;
    const ahead = { x: Math.cos(heading), y: Math.sin(heading) };
    context.globalAlpha = player.away ? 0.3 : 1;
    context.fillStyle = this.#colours.players[player.colour];
    this.#fillCircle(x, y, HEAD);
    for (const side of [-1, 1]) {
      const eyeX = x + ahead.x * EYE.ahead - ahead.y * EYE.aside * side;
      const eyeY = y + ahead.y * EYE.ahead + ahead.x * EYE.aside * side;
      context.fillStyle = '#ffffff';
      this.#fillCircle(eyeX, eyeY, EYE.radius);
      context.fillStyle = '#17212b';
      this.#fillCircle(eyeX + ahead.x * EYE.look, eyeY + ahead.y * EYE.look, EYE.pupil);
    }
    context.globalAlpha = 1;
  }

  #drawName({ player, x, y }, letters, width, height) {
    const context = this.#context;
    context.font = `650 ${letters}px system-ui, sans-serif`;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.globalAlpha = player.away ? 0.4 : 1;
    const half = Math.min(context.measureText(player.name).width / 2 + 4, width / 2);
    const nameX = Math.min(Math.max(x, half), width - half);
    const below = y + HEAD + letters * 0.8;
    const nameY = below + letters / 2 > height ? y - HEAD - letters * 0.8 : below;
    context.lineJoin = 'round';
    context.lineWidth = letters / 5;
    context.strokeStyle = this.#colours.card;
    context.strokeText(player.name, nameX, nameY);
    context.fillStyle = this.#colours.ink;
    context.fillText(player.name, nameX, nameY);
    context.globalAlpha = 1;
  }

  #fillCircle(x, y, radius) {
    this.#context.beginPath();
    this.#context.arc(x, y, radius, 0, FULL_TURN);
    this.#context.fill();
  }
}
