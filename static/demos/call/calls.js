import { randomHex } from '../../client/random.js';
import { keepAwake } from '../../shared/awake.js';
import { enableCopy } from '../../shared/copy.js';
import { httpsAdvice } from '../../shared/https-advice.js';
import { mediaPrompt, openMedia, stopMedia } from '../../shared/open-media.js';
import { hidePrompt, showPrompt } from '../../shared/prompt.js';
import { pageUrl } from '../../shared/settings.js';
import { setStatus } from '../../shared/status.js';
import { enableCopyLink, showJoinLink } from '../../shared/join-link.js';
import { BrokerConnection } from './broker-connection.js';
import { Ring } from './ring.js';
import { Stage } from './stage.js';
import { Talk } from './talk.js';
import { INCOMING, OUTCOMES, PHASES, WAITING, statusOf } from './words.js';

const RINGING_WAIT = 8_000;
const ANSWER_WAIT = 60_000;
const CONNECT_WAIT = 20_000;
// Longer than the caller waits, because the caller says when it gives up.
const INCOMING_WAIT = 75_000;

// Phases of a call in which both sides need the broker.
const UNANSWERED = new Set(['calling', 'ringing', 'incoming', 'accepting']);

const MOST_STRAYS = 64;

const element = (id) => document.getElementById(id);

/** Calls `target`, or waits for calls if there is none. */
export function startCalls(target) {
  new Calls(target).start();
}

class Calls {
  #target;
  #broker = new BrokerConnection();
  #brokerProblem;
  #hadId = false;
  /** The current call, with its `token`, the other side's `remoteId`, and its state. */
  #call;
  /** Candidates that arrived before their offer, and the token of that call. */
  #strays = { token: undefined, candidates: /** @type {RTCIceCandidateInit[]} */ ([]) };
  #local;
  #ring = new Ring(() => this.#showRing());
  #stage = new Stage({
    onHangUp: () => this.#hangUp(),
    onMedia: (media) => this.#call?.talk && (this.#call.talk.media = media),
  });

  constructor(target) {
    this.#target = target;
    this.#broker.addEventListener('open', () => this.#brokerOpened());
    this.#broker.addEventListener('lost', ({ detail }) => this.#brokerLost(detail));
    this.#broker.addEventListener('frame', ({ detail }) => this.#receive(detail));
    window.addEventListener('pagehide', () => {
      if (this.#call) this.#send(this.#call, 'hangUp');
      this.#call?.talk?.close();
    });
    enableCopyLink();
    enableCopy(element('copy-local-link'), () => element('local-link').href);
  }

  start() {
    this.#broker.start();
    if (this.#target) this.#dial();
    else this.#wait();
  }

  #brokerOpened() {
    this.#brokerProblem = undefined;
    const own = pageUrl({}, this.#broker.id);
    const link = showJoinLink(own, 'QR code with the link for the other person');
    element('local-link').textContent = own.href;
    element('link-changed').hidden = !this.#hadId;
    element('https-note').hidden = (link?.protocol ?? 'https:') === 'https:';
    if (!element('https-note').hidden) element('https-advice').replaceChildren(httpsAdvice());
    this.#hadId = true;
    this.#showJoin();
    if (this.#call?.phase === 'ready') this.#offer(this.#call);
    else if (!this.#call && !this.#target) this.#wait();
    this.#showStatus();
  }

  #brokerLost(reason) {
    this.#brokerProblem = reason;
    this.#showJoin();
    this.#showStatus();
    // The id of an unanswered offer no longer exists.
    const call = this.#call;
    if (UNANSWERED.has(call?.phase)) this.#end(call, 'broker');
    else if (call?.phase === 'ready') this.#showPhase('ready');
    else if (!call && !this.#target) showPrompt({ title: 'The broker is not reachable', text: reason });
  }

  #receive({ action, data }) {
    if (action === 'offer') {
      this.#offered(data);
      return;
    }
    const call = this.#call;
    if (!call || (data.call ?? call.token) !== call.token) {
      if (action === 'iceCandidate') this.#keepStray(data);
      return;
    }
    if (action === 'answer') this.#answered(call, data);
    else if (action === 'iceCandidate') this.#candidate(call, data.candidate);
    else if (action === 'ringing') this.#rings(call);
    else if (action === 'busy') this.#end(call, 'busy');
    else if (action === 'decline') this.#end(call, 'declined');
    else if (action === 'hangUp') this.#end(call, call.phase === 'incoming' ? 'missed' : 'hung up');
  }

  // Waiting for calls

  #wait(outcome) {
    showPrompt(outcome ?? WAITING);
    this.#showStatus();
  }

  #offered({ remoteId, call: token, offer, safety }) {
    if (!offer?.sdp) return;
    if (this.#call || this.#target) {
      this.#send({ remoteId, token }, 'busy');
      return;
    }
    const early = this.#strays.token === token ? this.#strays.candidates : [];
    const call = this.#begin({ remoteId, token, phase: 'incoming', offer, safety, early });
    this.#send(call, 'ringing');
    this.#expect(call, INCOMING_WAIT, 'missed');
    document.title = 'Incoming call – peerbroker';
    this.#ring.start();
    showPrompt({
      ...INCOMING,
      buttons: [
        { name: 'accept', label: 'Accept', action: () => this.#accept(call) },
        { name: 'decline', label: 'Decline', action: () => this.#decline(call) },
      ],
    });
  }

  #keepStray({ call: token, candidate }) {
    if (this.#strays.token !== token) this.#strays = { token, candidates: [] };
    if (this.#strays.candidates.length < MOST_STRAYS) this.#strays.candidates.push(candidate);
  }

  async #accept(call) {
    this.#ring.stop();
    if (!(await this.#getMedia(call))) return;
    this.#createTalk(call);
    this.#enter(call, 'connecting');
    this.#expect(call, CONNECT_WAIT, 'direct');
    try {
      const { early } = call;
      await call.talk.answer(call.offer, call.safety, this.#local);
      for (const candidate of early) await call.talk.addCandidate(candidate);
    } catch {
      this.#end(call, 'direct');
    }
  }

  #decline(call) {
    this.#send(call, 'decline');
    this.#end(call, 'declined by us');
  }

  // Calling somebody

  async #dial() {
    if (this.#call) return;
    const call = this.#begin({ remoteId: this.#target, token: randomHex(12), phase: 'preparing' });
    if (!(await this.#getMedia(call))) return;
    this.#enter(call, 'ready');
    if (this.#broker.id) this.#offer(call);
  }

  async #offer(call) {
    if (call.remoteId === this.#broker.id) {
      this.#end(call, 'ourselves');
      return;
    }
    this.#createTalk(call);
    this.#enter(call, 'calling');
    this.#expect(call, RINGING_WAIT, 'nobody');
    try {
      await call.talk.offer(this.#local);
    } catch {
      this.#end(call, 'direct');
    }
  }

  #rings(call) {
    if (call.phase !== 'calling') return;
    this.#enter(call, 'ringing');
    this.#expect(call, ANSWER_WAIT, 'no answer');
  }

  async #answered(call, { answer, safety }) {
    if (call.phase !== 'calling' && call.phase !== 'ringing') return;
    this.#enter(call, 'connecting');
    this.#expect(call, CONNECT_WAIT, 'direct');
    try {
      await call.talk.answered(answer, safety);
    } catch {
      this.#end(call, 'direct');
    }
  }

  // Both

  #begin(call) {
    this.#call = call;
    this.#showJoin();
    this.#showStatus();
    return call;
  }

  /** Opens camera and microphone as `#local`. Resolves to false if the call ended meanwhile. */
  async #getMedia(call) {
    let wanted = { audio: true, video: true };
    this.#enter(call, call.phase === 'incoming' ? 'accepting' : call.phase);
    while (call === this.#call) {
      this.#showPhase('preparing');
      try {
        const stream = await openMedia(wanted);
        if (call !== this.#call) {
          stopMedia(stream);
          return false;
        }
        this.#local = this.#stage.local = stream;
        return true;
      } catch (problem) {
        if (call === this.#call) wanted = await this.#askWhatToUse(problem);
      }
    }
    return false;
  }

  #askWhatToUse(problem) {
    return new Promise((resolve) => {
      const { buttons, ...words } = mediaPrompt(problem, resolve);
      showPrompt({ ...words, buttons: [...buttons, this.#cancelButton()] });
    });
  }

  #createTalk(call) {
    const talk = new Talk((action, data) => this.#send(call, action, data));
    // Events of an ended call must not affect the next call.
    const ifCurrent = (action) => ({ detail }) => call === this.#call && action(detail);
    talk.media = this.#stage.media;
    talk.addEventListener('connected', ifCurrent(() => this.#connected(call)));
    talk.addEventListener('shaky', ifCurrent(() => setStatus('retrying', 'The connection is unstable…')));
    talk.addEventListener('media', ifCurrent((media) => this.#stage.showTheirs(media)));
    talk.addEventListener('ended', ifCurrent((reason) => this.#end(call, reason)));
    call.talk = talk;
  }

  #candidate(call, candidate) {
    // The connection exists once the call is accepted.
    if (!call.talk) call.early?.push(candidate);
    else call.talk.addCandidate(candidate).catch(() => {});
  }

  #connected(call) {
    clearTimeout(call.timer);
    if (call.phase !== 'talking') {
      this.#enter(call, 'talking');
      this.#stage.remote = call.talk.remote;
      // Not “Hang up”, which a second press of the same key would press.
      hidePrompt(['mute', 'camera', 'fullscreen', 'hang-up'].map(element));
      keepAwake();
      this.#showSafetyNumber(call);
    }
    this.#showStatus();
  }

  async #showSafetyNumber(call) {
    const number = await call.talk.safetyNumber().catch(() => undefined);
    if (number && call === this.#call) this.#stage.safetyNumber = number;
  }

  #hangUp() {
    const call = this.#call;
    if (!call) return;
    this.#send(call, 'hangUp');
    this.#end(call, 'hung up by us');
  }

  #end(call, reason) {
    if (call !== this.#call) return;
    clearTimeout(call.timer);
    this.#ring.stop();
    call.talk?.close();
    // Tell the other side to stop waiting.
    if (['nobody', 'no answer', 'direct'].includes(reason)) this.#send(call, 'hangUp');
    this.#call = undefined;
    stopMedia(this.#local);
    this.#local = this.#stage.local = this.#stage.remote = undefined;
    document.title = 'Video call – peerbroker';

    const outcome = OUTCOMES[reason];
    if (this.#target) {
      const buttons = [{ name: 'call', label: 'Call again', action: () => this.#dial() }];
      showPrompt({ ...outcome, buttons });
      this.#showStatus();
    } else {
      this.#showJoin();
      this.#wait({ text: WAITING.text, ...outcome });
    }
  }

  #enter(call, phase) {
    call.phase = phase;
    this.#showPhase(phase);
  }

  #showPhase(phase) {
    const text = phase === 'ready' ? this.#brokerProblem : '';
    if (PHASES[phase]) showPrompt({ text, ...PHASES[phase], buttons: [this.#cancelButton()] });
    this.#showStatus();
  }

  #cancelButton() {
    return { name: 'cancel', label: 'Cancel', action: () => this.#hangUp() };
  }

  /** If nothing happens in this time, the call is over, for this reason. */
  #expect(call, time, reason) {
    clearTimeout(call.timer);
    call.timer = setTimeout(() => this.#end(call, reason), time);
  }

  #send({ remoteId, token }, action, data) {
    // A caller without a token is a simpler client, which understands only the basic frames.
    if (token === undefined && !data) return;
    this.#broker.send(action, { remoteId, call: token, ...data });
  }

  /** The link is of use while this page waits for a call and can be reached. */
  #showJoin() {
    const isWaiting = !this.#call && !this.#target && !this.#brokerProblem;
    element('call').classList.toggle('without-join', !isWaiting);
    element('join').hidden = !isWaiting;
    element('ring-note').hidden = !isWaiting;
    this.#showRing();
  }

  #showRing() {
    element('ring-note').textContent = this.#ring.isReady
      ? 'This page rings when somebody calls.'
      : 'Click or tap this page once to allow the ringtone.';
  }

  #showStatus() {
    setStatus(...statusOf(this.#call?.phase, { ownId: this.#broker.id, brokerProblem: this.#brokerProblem, target: this.#target }));
  }
}
