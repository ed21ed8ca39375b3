const SLIDES = [
  {
    title: 'Two browsers want to talk',
    text: [
      'A laptop and a phone want to exchange data.',
      'Neither knows the other one’s address, or even that it exists.',
    ],
  },
  {
    title: 'They meet at a broker',
    text: [
      'Each of them opens a WebSocket to the broker and gets an id.',
      'Anyone who knows the id can send its owner a message. The code on this screen contains such an id.',
    ],
  },
  {
    title: 'One offers, one answers',
    text: [
      '“This is what I can do.” – “Good. So can I.”',
      'The broker forwards these two messages without reading them.',
    ],
  },
  {
    title: 'They try every path',
    text: [
      'Each sends the other a list of addresses where it may be reachable: its candidates.',
      'Both try all of them at once and keep the first that works well.',
    ],
  },
  {
    title: 'The broker steps aside',
    text: [
      'From now on data goes directly from one to the other, encrypted end to end.',
      'If you stop the broker now, the connection stays.',
    ],
    overBroker: {
      title: 'The broker carries the data',
      text: [
        'These two found no path, so their data goes over the broker, encrypted end to end.',
        'If you stop the broker now, the connection waits until it is back.',
      ],
    },
  },
  {
    title: 'That was you, just now',
    text: ['Every tap on a phone that turns these slides uses this direct connection.'],
    overBroker: { text: ['Every tap on a phone that turns these slides goes over the broker, encrypted.'] },
    isLive: true,
  },
];

/** The slides and the current position. Calls `onChange(position)` after each move. */
export class Deck {
  #index = 0;
  #onChange;

  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** True if a phone has no other way than over the broker. */
  isOverBroker = false;

  get slides() {
    return SLIDES.map((slide) => (this.isOverBroker ? { ...slide, ...slide.overBroker } : slide));
  }

  get current() {
    return this.slides[this.#index];
  }

  /** The position for the remotes; `index` counts from 0. */
  get position() {
    return {
      index: this.#index,
      count: SLIDES.length,
      title: this.current.title,
      upcoming: this.slides[this.#index + 1]?.title ?? '',
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
