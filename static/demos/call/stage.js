import { enableFullscreen } from '../../shared/fullscreen.js';
import { icon, showSwitch } from '../../shared/icons.js';

const element = (id) => document.getElementById(id);

/**
 * The videos of both sides and the buttons of a call. Calls `onHangUp()`, and `onMedia(media)` when `camera` or
 * `microphone` is turned on or off.
 */
export class Stage {
  #local = new MediaStream();
  #onMedia;

  constructor({ onHangUp, onMedia }) {
    this.#onMedia = onMedia;
    element('mute').addEventListener('click', () => this.#toggle('audio'));
    element('camera').addEventListener('click', () => this.#toggle('video'));
    element('hang-up').addEventListener('click', onHangUp);
    element('sound').addEventListener('click', () => {
      element('remote').muted = false;
      element('sound').hidden = true;
    });
    enableFullscreen(element('fullscreen'));
  }

  /** The stream that is sent; undefined without a call. */
  set local(stream) {
    this.#local = stream ?? new MediaStream();
    element('local').srcObject = this.#local;
    element('local-tile').hidden = !stream;
    this.#showOurs();
  }

  get media() {
    const isOn = (tracks) => tracks.some(({ enabled }) => enabled);
    return { camera: isOn(this.#local.getVideoTracks()), microphone: isOn(this.#local.getAudioTracks()) };
  }

  /** Shows the other side's stream, or clears the stage. */
  set remote(stream) {
    const video = element('remote');
    element('controls').hidden = !stream;
    element('sound').hidden = true;
    video.hidden = !stream;
    video.muted = false;
    video.srcObject = stream ?? null;
    element('safety').hidden = true;
    if (stream) this.#play(video);
    else this.showTheirs({ camera: true, microphone: true });
  }

  set safetyNumber(number) {
    element('safety-number').textContent = number;
    element('safety').hidden = false;
  }

  /** Shows what the other side has turned off. Until it tells, everything counts as on. */
  showTheirs({ camera, microphone }) {
    element('remote').classList.toggle('dark', !camera);
    showDark(element('remote-dark'), !camera);
    const what = [camera ? '' : 'camera', microphone ? '' : 'microphone'].filter(Boolean);
    const text = what.length > 0 ? `Their ${what.join(' and ')} ${what.length > 1 ? 'are' : 'is'} off` : '';
    element('remote-note').replaceChildren(...what.map((name) => icon(`${name}-off`)), text);
  }

  /** Browsers may block sound if the user has not touched the page and there is no camera. */
  async #play(video) {
    try {
      await video.play();
    } catch (error) {
      if (error.name !== 'NotAllowedError') return;
      video.muted = true;
      element('sound').hidden = false;
      await video.play().catch(() => {});
    }
  }

  #toggle(kind) {
    for (const track of this.#local.getTracks()) if (track.kind === kind) track.enabled = !track.enabled;
    this.#showOurs();
    this.#onMedia(this.media);
  }

  #showOurs() {
    const { camera, microphone } = this.media;
    showDark(element('local-dark'), !camera);
    const hasMicrophone = this.#local.getAudioTracks().length > 0;
    const note = hasMicrophone ? 'Muted' : 'No sound';
    element('local-note').replaceChildren(...(microphone ? [] : [icon('microphone-off'), note]));

    element('mute').hidden = !hasMicrophone;
    element('camera').hidden = this.#local.getVideoTracks().length === 0;
    showSwitch(element('mute'), 'microphone', microphone, microphone ? 'Mute' : 'Unmute');
    showSwitch(element('camera'), 'camera', camera, camera ? 'Turn camera off' : 'Turn camera on');
  }
}

function showDark(sign, isDark) {
  sign.hidden = !isDark;
  sign.replaceChildren(icon('camera-off'));
}
