import { keepAwake } from '../../shared/awake.js';
import { mediaPrompt, openMedia, resizePicture, stopMedia } from '../../shared/open-media.js';
import { enableMediaButtons, mediaOf, showMediaButtons } from '../../shared/media-buttons.js';
import { hidePrompt, showPrompt } from '../../shared/prompt.js';

// A camera sends its picture to each of the others by itself: to so many, a small one.
const MANY = 2;

const element = (id) => document.getElementById(id);

/** The call of a room: everybody who takes part sees and hears everybody else. */
export class GroupCall {
  #people;
  #room;
  #wanted;
  #call;
  #stream;
  #streams = new Map();
  #isSmall = false;

  constructor(people) {
    this.#people = people;
    element('call').addEventListener('click', () => this.#join({ audio: true, video: true }));
    element('hang-up').addEventListener('click', () => this.#call?.leave());
    enableMediaButtons(() => this.#stream, () => this.#switched());
  }

  /** The room that was joined last. A call ends with its room. One that was asked for before begins now. */
  set room(room) {
    this.#room = room;
    const wanted = this.#wanted;
    this.#wanted = undefined;
    if (wanted) this.#join(wanted);
  }

  async #join(wanted) {
    const button = element('call');
    if (button.getAttribute('aria-disabled') === 'true') return;
    if (!this.#room) {
      this.#wanted = wanted;
      return;
    }
    button.setAttribute('aria-disabled', 'true');
    hidePrompt();
    try {
      this.#stream = await openMedia(wanted);
      await this.#begin();
      keepAwake();
    } catch (problem) {
      stopMedia(this.#stream);
      this.#stream = undefined;
      showPrompt(mediaPrompt(problem, (media) => this.#join(media)));
    }
    button.setAttribute('aria-disabled', 'false');
    this.#showButtons(true);
  }

  async #begin() {
    const call = (this.#call = await this.#room.callEverybody(this.#stream, mediaOf(this.#stream)));
    for (const change of ['joined', 'updated']) call.on(change, ({ id }) => this.#show(id));
    for (const change of ['joined', 'left']) call.on(change, () => this.#fitPicture());
    call.on('stream', ({ id, stream }) => {
      this.#streams.set(id, stream);
      this.#show(id);
    });
    call.on('left', ({ id }) => {
      this.#streams.delete(id);
      this.#people.picture(id);
    });
    call.on('closed', () => this.#ended());
    this.#streams.set(this.#people.ownId, this.#stream);
    for (const id of call.members.keys()) this.#show(id);
    this.#fitPicture();
  }

  #fitPicture() {
    const isSmall = this.#call.members.size > MANY;
    if (isSmall === this.#isSmall) return;
    this.#isSmall = isSmall;
    resizePicture(this.#stream, isSmall);
  }

  #ended() {
    stopMedia(this.#stream);
    for (const id of this.#streams.keys()) this.#people.picture(id);
    this.#streams.clear();
    this.#stream = this.#call = undefined;
    this.#isSmall = false;
    this.#showButtons(true);
  }

  #show(id) {
    const { camera = true, microphone = true } = this.#call.members.get(id) ?? {};
    this.#people.picture(id, this.#streams.get(id), { camera, microphone });
  }

  async #switched() {
    this.#showButtons(false);
    // The others are told with the next change if this one is lost: tracks are silent at once.
    await this.#call.update(mediaOf(this.#stream)).catch(() => {});
    if (this.#call) this.#show(this.#people.ownId);
  }

  /** If the pressed button disappears, the focus moves to the first that is shown. */
  #showButtons(isOther) {
    const isIn = Boolean(this.#call);
    const hadFocus = Boolean(document.activeElement?.closest('.controls'));
    element('call').hidden = isIn;
    element('hang-up').hidden = !isIn;
    showMediaButtons(this.#stream ?? new MediaStream());
    if (isOther && hadFocus) [...document.querySelectorAll('.controls .button')].find((button) => !button.hidden)?.focus();
  }
}
