const SECONDS = 3;
const LOUDNESS = 0.12;
// Two soft notes: start in seconds, and frequency.
const NOTES = [[0, 659.26], [0.22, 880]];

/**
 * Rings quietly for incoming calls. Browsers allow sound only after somebody has touched the page: until then there is
 * no ring. Calls `onReady()` when it can ring.
 */
export class Ring {
  #context;
  #source;
  #isWanted = false;
  #onReady;

  constructor(onReady) {
    this.#onReady = onReady;
    for (const gesture of ['pointerup', 'keydown']) window.addEventListener(gesture, () => this.#wake());
  }

  get isReady() {
    return this.#context?.state === 'running';
  }

  start() {
    this.#isWanted = true;
    this.#play();
  }

  stop() {
    this.#isWanted = false;
    this.#source?.stop();
    this.#source = undefined;
  }

  async #wake() {
    if (this.isReady) return;
    this.#context ??= new AudioContext();
    await this.#context.resume();
    this.#onReady();
    this.#play();
  }

  #play() {
    if (!this.isReady || !this.#isWanted || this.#source) return;
    this.#source = new AudioBufferSourceNode(this.#context, { buffer: chime(this.#context.sampleRate), loop: true });
    this.#source.connect(this.#context.destination);
    this.#source.start();
  }
}

/** Both notes and silence, to be repeated. A loop needs no timer, which a page in the background would not get. */
function chime(sampleRate) {
  const buffer = new AudioBuffer({ length: SECONDS * sampleRate, sampleRate });
  const samples = buffer.getChannelData(0);
  for (const [start, frequency] of NOTES) {
    for (let at = Math.round(start * sampleRate); at < samples.length; at += 1) {
      const time = at / sampleRate - start;
      const swell = Math.min(time / 0.01, 1) * Math.exp(-4 * time);
      samples[at] += LOUDNESS * swell * Math.sin(2 * Math.PI * frequency * time);
    }
  }
  return buffer;
}
