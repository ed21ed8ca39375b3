import { enableFullscreen } from '../../shared/fullscreen.js';
import { icon } from '../../shared/media-icons.js';
import { enableMediaButtons, mediaOf, showMediaButtons } from '../../shared/media-buttons.js';

const element = (id) => document.getElementById(id);

/**
 * The videos of both sides and the buttons of a call. Calls `onHangUp()`, and `onMedia(media)` when `camera` or
 * `microphone` is turned on or off.
 */
export class Stage {
  #local = new MediaStream();

  constructor({ onHangUp, onMedia }) {
    enableMediaButtons(() => this.#local, () => {
      this.#showOurs();
      onMedia(this.media);
    });
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
    return mediaOf(this.#local);
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

  #showOurs() {
    const { camera, microphone } = this.media;
    showDark(element('local-dark'), !camera);
    const note = this.#local.getAudioTracks().length > 0 ? 'Muted' : 'No sound';
    element('local-note').replaceChildren(...(microphone ? [] : [icon('microphone-off'), note]));
    showMediaButtons(this.#local);
  }
}

function showDark(sign, isDark) {
  sign.hidden = !isDark;
  sign.replaceChildren(icon('camera-off'));
}
