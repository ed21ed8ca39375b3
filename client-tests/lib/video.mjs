// Checks of a call from the participants' point of view.

import assert from 'node:assert/strict';
import { within } from './within.mjs';

/** Waits for new video frames of the other side. */
export async function talking(page) {
  await page.locator('#status[data-state="connected"]').waitFor();
  await within('a moving picture of the other side', page.locator('#remote').evaluate(async (video) => {
    const start = video.currentTime;
    while (video.currentTime <= start || video.videoWidth === 0) {
      await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    }
  }));
}

/** Waits for sound of the other side, even without video. */
export async function hearing(page, kinds) {
  await page.locator('#status[data-state="connected"]').waitFor();
  const heard = await within('sound of the other side', page.locator('#remote').evaluate(async ({ srcObject }) => {
    const [track] = srcObject.getAudioTracks();
    if (track.muted) await new Promise((resolve) => track.addEventListener('unmute', resolve));
    return srcObject.getTracks().map(({ kind }) => kind).sort();
  }));
  assert.deepEqual(heard, kinds);
}

/** From now on `window.prompts` records the title of each prompt, also of short-lived ones. */
export async function recordPrompts(page) {
  await page.locator('#prompt-title').evaluate((title) => {
    window.prompts = [];
    new MutationObserver(() => window.prompts.push(title.textContent)).observe(title, { childList: true });
  });
}

/** Waits until the page has shown a prompt with this title, even if it was replaced since. */
export const hasPrompted = (page, title) =>
  page.waitForFunction((wanted) => window.prompts.includes(wanted), title);

/** Checks that a page without a call has released camera and microphone. */
export async function camerasOff(...pages) {
  for (const page of pages) {
    const own = await page.locator('#local').evaluate(({ srcObject }) => srcObject?.getTracks().length ?? 0);
    assert.equal(own, 0);
  }
}

/**
 * Makes each camera one of 320 × 240: every picture is encoded in software for each member of a call. `window.picture` is what the page
 * last asked for. Runs in the page.
 */
export function useSmallCameras() {
  // Pages without a secure context have none.
  if (!window.MediaDevices) return;
  const { getUserMedia } = MediaDevices.prototype;
  const { applyConstraints } = MediaStreamTrack.prototype;
  const small = (wanted) => {
    window.picture = wanted;
    return { ...Object(wanted), width: 320, height: 240 };
  };
  MediaDevices.prototype.getUserMedia = function (wanted) {
    if (!wanted?.video) return getUserMedia.call(this, wanted);
    return getUserMedia.call(this, { ...wanted, video: small(wanted.video) });
  };
  MediaStreamTrack.prototype.applyConstraints = function (wanted) {
    return applyConstraints.call(this, small(wanted));
  };
}

/** Simulates a refused permission. Runs in the page. */
export function refuse(kinds) {
  const { getUserMedia } = MediaDevices.prototype;
  MediaDevices.prototype.getUserMedia = function (wanted) {
    if (kinds.some((kind) => wanted[kind])) return Promise.reject(new DOMException('refused', 'NotAllowedError'));
    return getUserMedia.call(this, wanted);
  };
}
