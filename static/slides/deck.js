const SLIDES = [
  {
    title: 'Two browsers want to talk',
    text: [
      'A laptop and a phone have something to tell each other.',
      'Neither knows where the other one is, or even that it exists.',
    ],
  },
  {
    title: 'They meet at a broker',
    text: [
      'Each of them opens a WebSocket to the broker and gets an id, like a ticket in a cloakroom.',
      'Whoever is told the id can now ask for its owner. The code on this screen is just that.',
    ],
  },
  {
    title: 'One offers, one answers',
    text: [
      '“This is what I can do.” – “Good. So can I.”',
      'The broker carries these two letters and opens neither.',
    ],
  },
  {
    title: 'They try every path',
    text: [
      'Each names the addresses where it might be found.',
      'Both knock on all doors at once and keep the first good way through.',
    ],
  },
  {
    title: 'The broker steps aside',
    text: [
      'From here on data goes straight from one to the other, encrypted all the way.',
      'Stop the broker now, and this conversation goes on.',
    ],
  },
  {
    title: 'That was you, just now',
    text: ['Every tap on a phone that turns these slides takes this way.'],
    isLive: true,
  },
];

/** The slides, and which one is shown. Calls `onChange(position)` after each move. */
export class Deck {
  #index = 0;
  #onChange;

  constructor(onChange) {
    this.#onChange = onChange;
  }

  get slides() {
    return SLIDES;
  }

  get current() {
    return SLIDES[this.#index];
  }

  /** What the remotes are told; `index` counts from 0. */
  get position() {
    return {
      index: this.#index,
      count: SLIDES.length,
      title: this.current.title,
      upcoming: SLIDES[this.#index + 1]?.title ?? '',
    };
  }

  next = () => this.goTo(this.#index + 1);

  previous = () => this.goTo(this.#index - 1);

  first = () => this.goTo(0);

  last = () => this.goTo(SLIDES.length - 1);

  goTo(index) {
    if (!SLIDES[index] || index === this.#index) return;
    this.#index = index;
    this.#onChange(this.position);
  }
}
