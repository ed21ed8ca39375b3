import { keepAwake } from '../../shared/awake.js';
import { httpsAdvice } from '../../shared/https.js';
import { showSwitch } from '../../shared/icons.js';
import { openMedia, resizePicture, stopMedia } from '../../shared/media.js';
import { hideProblem, showProblem } from './problem.js';

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
    element('mute').addEventListener('click', () => this.#toggle('audio'));
    element('camera').addEventListener('click', () => this.#toggle('video'));
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
    hideProblem();
    try {
      this.#stream = await openMedia(wanted);
      await this.#begin();
      keepAwake();
    } catch (problem) {
      stopMedia(this.#stream);
      this.#stream = undefined;
      this.#explain(problem);
    }
    button.setAttribute('aria-disabled', 'false');
    this.#showButtons(true);
  }

  async #begin() {
    const call = (this.#call = await this.#room.callEverybody(this.#stream, this.#media));
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

  #explain({ title = 'You are not in the call', advice, reason, message }) {
    const choice = (label, audio, video) => ({ label, action: () => this.#join({ audio, video }) });
    const again = choice('Try again', true, true);
    const watch = choice('Only watch and listen', false, false);
    showProblem({
      title,
      text: reason === 'insecure' ? [advice, ' ', httpsAdvice()] : advice ?? `${message}.`,
      // Insecure pages never get a camera, so trying again is useless.
      buttons: reason === 'insecure' ? [watch] : [again, choice('Sound only', true, false), watch],
    });
  }

  get #media() {
    const isOn = (tracks) => tracks.some(({ enabled }) => enabled);
    return { camera: isOn(this.#stream.getVideoTracks()), microphone: isOn(this.#stream.getAudioTracks()) };
  }

  async #toggle(kind) {
    for (const track of this.#stream.getTracks()) if (track.kind === kind) track.enabled = !track.enabled;
    this.#showButtons(false);
    // The others are told with the next change if this one is lost: tracks are silent at once.
    await this.#call.update(this.#media).catch(() => {});
    if (this.#call) this.#show(this.#people.ownId);
  }

  /** If the pressed button disappears, the focus moves to the first that is shown. */
  #showButtons(isOther) {
    const isIn = Boolean(this.#call);
    const hadFocus = Boolean(document.activeElement?.closest('.controls'));
    element('call').hidden = isIn;
    element('hang-up').hidden = !isIn;
    element('mute').hidden = !isIn || this.#stream.getAudioTracks().length === 0;
    element('camera').hidden = !isIn || this.#stream.getVideoTracks().length === 0;
    if (isIn) {
      const { camera, microphone } = this.#media;
      showSwitch(element('mute'), 'microphone', microphone, microphone ? 'Mute' : 'Unmute');
      showSwitch(element('camera'), 'camera', camera, camera ? 'Turn camera off' : 'Turn camera on');
    }
    if (isOther && hadFocus) [...document.querySelectorAll('.controls .button')].find((button) => !button.hidden)?.focus();
  }
}
