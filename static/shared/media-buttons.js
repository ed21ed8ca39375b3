import { icon } from './media-icons.js';

const element = (id) => document.getElementById(id);

/** What of a stream is turned on. */
export function mediaOf(stream) {
  const isOn = (tracks) => tracks.some(({ enabled }) => enabled);
  return { camera: isOn(stream.getVideoTracks()), microphone: isOn(stream.getAudioTracks()) };
}

/** The buttons `mute` and `camera` turn the tracks of `stream()` on and off. Then they call `onChange()`. */
export function enableMediaButtons(stream, onChange) {
  for (const [button, kind] of [['mute', 'audio'], ['camera', 'video']]) {
    element(button).addEventListener('click', () => {
      for (const track of stream().getTracks()) if (track.kind === kind) track.enabled = !track.enabled;
      onChange();
    });
  }
}

/** Shows the buttons of the tracks that a stream has. */
export function showMediaButtons(stream) {
  const { camera, microphone } = mediaOf(stream);
  element('mute').hidden = stream.getAudioTracks().length === 0;
  element('camera').hidden = stream.getVideoTracks().length === 0;
  showSwitch(element('mute'), 'microphone', microphone, microphone ? 'Mute' : 'Unmute');
  showSwitch(element('camera'), 'camera', camera, camera ? 'Turn camera off' : 'Turn camera on');
}

/** The picture and the colour of a button show the state; its label says what a press does. */
function showSwitch(button, name, isOn, label) {
  button.classList.toggle('is-off', !isOn);
  button.replaceChildren(icon(isOn ? name : `${name}-off`), label);
}
