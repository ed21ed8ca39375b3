/** Asks for camera and microphone, or what of it is wanted; rejects with a `MediaProblem`. */
export async function openMedia(wanted) {
  if (!wanted.audio && !wanted.video) return new MediaStream();
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new MediaProblem(window.isSecureContext ? 'unsupported' : 'insecure');
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: wanted.audio,
      video: wanted.video && { facingMode: 'user', width: { ideal: 1280 }, height: { ideal: 720 } },
    });
  } catch (error) {
    throw new MediaProblem(REASONS[error.name] ?? 'unsupported');
  }
}

export function stopMedia(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/** `reason` is one of the names below. */
export class MediaProblem extends Error {
  constructor(reason) {
    super(PROBLEMS[reason].title);
    this.reason = reason;
  }

  get title() {
    return PROBLEMS[this.reason].title;
  }

  get advice() {
    return PROBLEMS[this.reason].advice;
  }
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
      '“Website Settings” of the page menu. If they are allowed there, the settings of the computer or phone may ' +
      'keep them from the browser. Then try again.',
  },
  missing: {
    title: 'No camera or no microphone found',
    advice: 'Connect what is missing and try again, or go on without it.',
  },
  busy: {
    title: 'The camera or the microphone is in use',
    advice: 'Another program or tab has it. Close that and try again, or go on without it.',
  },
  unsupported: {
    title: 'No camera and no microphone here',
    advice: 'This browser gave none, and did not say why. Try again, or go on without.',
  },
  insecure: {
    title: 'Camera and microphone need HTTPS',
    advice:
      'This page came over http://, and browsers give camera and microphone only to pages from https:// or from ' +
      'localhost. “Serving your app” in docs/OPERATING.md says how to get there. Without them you can still watch ' +
      'and listen.',
  },
};
