import { httpsAdvice } from './https-advice.js';

const LARGE = { facingMode: 'user', width: { ideal: 1280 }, height: { ideal: 720 } };
const SMALL = { ...LARGE, width: { ideal: 640 }, height: { ideal: 360 } };

/** Asks for the camera, the microphone or both; rejects with a `MediaProblem`. */
export async function openMedia(wanted) {
  if (!wanted.audio && !wanted.video) return new MediaStream();
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new MediaProblem(window.isSecureContext ? 'unsupported' : 'insecure');
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: wanted.audio,
      video: wanted.video && LARGE,
    });
  } catch (error) {
    throw new MediaProblem(REASONS[error.name] ?? 'unsupported');
  }
}

/** Makes the camera's picture small, or large again. A camera that cannot keeps its picture. */
export async function resizePicture(stream, isSmall) {
  await Promise.all(stream.getVideoTracks().map((track) => track.applyConstraints(isSmall ? SMALL : LARGE).catch(() => {})));
}

export function stopMedia(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/** `reason` is one of the names below, which give it a `title` and an `advice`. */
class MediaProblem extends Error {
  constructor(reason) {
    super(PROBLEMS[reason].title);
    Object.assign(this, { reason, ...PROBLEMS[reason] });
  }
}

/** A prompt after an error of a call, whose buttons call `choose` with the media to go on with. */
export function mediaPrompt({ title = 'You are not in the call', advice, reason, message }, choose) {
  const choice = (name, label, audio, video) => ({ name, label, action: () => choose({ audio, video }) });
  const watch = choice('receive', 'Only watch and listen', false, false);
  const isInsecure = reason === 'insecure';
  return {
    title,
    text: isInsecure ? [advice, ' ', httpsAdvice()] : advice ?? `${message}.`,
    // Insecure pages never get a camera, so trying again is useless.
    buttons: isInsecure ? [watch] : [choice('again', 'Try again', true, true), choice('sound', 'Sound only', true, false), watch],
  };
}

const REASONS = {
  NotAllowedError: 'refused',
  SecurityError: 'refused',
  NotFoundError: 'missing',
  OverconstrainedError: 'missing',
  NotReadableError: 'busy',
  AbortError: 'busy',
};

const PROBLEMS = {
  refused: {
    title: 'Camera and microphone are not allowed',
    advice:
      'To allow them, press the icon beside the address and set both to “Allow”; on an iPhone it is under ' +
      '“Website Settings” of the page menu. If they are allowed there, check in the settings of the computer or phone ' +
      'that the browser may use them. Then try again.',
  },
  missing: {
    title: 'No camera or no microphone found',
    advice: 'Connect one and try again, or continue without it.',
  },
  busy: {
    title: 'The camera or the microphone is in use',
    advice: 'Another program or tab is using it. Close that one and try again, or continue without it.',
  },
  unsupported: {
    title: 'Camera and microphone do not work',
    advice: 'The browser gave no reason. Try again, or continue without them.',
  },
  insecure: {
    title: 'Camera and microphone need HTTPS',
    advice:
      'Browsers allow camera and microphone only over https:// or at localhost, but this page came over http://. ' +
      'You can watch and listen without them.',
  },
};
