// The state machine of descriptions: W3C's "set a session description", without media.

import { withLine, withoutLine } from './sdp-line.js';
import { Sdp, hasData } from './sdp.js';

const failure = (name, message) => new DOMException(message, name);

/** What each description makes of each state: `local` or `remote`, and its type. */
const STEPS = {
  'stable': { 'local offer': 'have-local-offer', 'remote offer': 'have-remote-offer' },
  'have-local-offer': {
    'local offer': 'have-local-offer', 'remote answer': 'stable', 'remote pranswer': 'have-remote-pranswer', 'local rollback': 'stable',
  },
  'have-remote-offer': {
    'remote offer': 'have-remote-offer', 'local answer': 'stable', 'local pranswer': 'have-local-pranswer', 'remote rollback': 'stable',
  },
  'have-local-pranswer': { 'local pranswer': 'have-local-pranswer', 'local answer': 'stable' },
  'have-remote-pranswer': { 'remote pranswer': 'have-remote-pranswer', 'remote answer': 'stable' },
};

/** @typedef {{ local: any, remote: any }} Descriptions */

/** Only data: the section of data has the same mid for the life of a connection. */
const FIRST_MID = '0';

export class Signalling {
  state = 'stable';
  /** Descriptions as the page sees them. */
  current = /** @type {Descriptions} */ ({ local: null, remote: null });
  pending = /** @type {Descriptions} */ ({ local: null, remote: null });
  /** True if the page has made a channel. */
  wantsData = false;
  /** @type {Sdp | undefined} */
  #made;
  #lineOf;
  #Description;
  #mid = FIRST_MID;
  #created = { offer: '', answer: '' };
  #isRestarting = false;

  /** @param {() => string} lineOf the line of this side */
  constructor(lineOf, Description) {
    this.#lineOf = lineOf;
    this.#Description = Description;
  }

  /** Goes on where native WebRTC was. */
  takeOver({ signalingState, currentLocalDescription, currentRemoteDescription, pendingLocalDescription, pendingRemoteDescription }) {
    this.state = signalingState;
    this.current = { local: currentLocalDescription, remote: currentRemoteDescription };
    this.pending = { local: pendingLocalDescription, remote: pendingRemoteDescription };
    const known = (this.local ?? this.remote)?.sdp ?? '';
    this.#mid = /^m=application[^]*?^a=mid:(\S+)/m.exec(known)?.[1] ?? FIRST_MID;
    this.wantsData ||= hasData(known);
  }

  /** Made when it is needed: most connections are native ones. */
  get #sdp() {
    this.#made ??= new Sdp();
    return this.#made;
  }

  get local() {
    return this.pending.local ?? this.current.local;
  }

  get remote() {
    return this.pending.remote ?? this.current.remote;
  }

  get hasData() {
    return [this.current.local, this.current.remote].every((description) => description && hasData(description.sdp));
  }

  /** True if the other side has not been told of something. */
  get isBehind() {
    return this.#isRestarting || (this.wantsData && !(this.current.local && hasData(this.current.local.sdp)));
  }

  restart() {
    this.#isRestarting = true;
  }

  createOffer({ iceRestart = false } = {}) {
    if (this.#isRestarting || iceRestart) this.#sdp.restart();
    const had = this.current.local !== null && hasData(this.current.local.sdp);
    return this.#create('offer', this.#sdp.offer({ mid: this.#mid, wantsData: this.wantsData || had }));
  }

  createAnswer() {
    if (this.state !== 'have-remote-offer' && this.state !== 'have-local-pranswer') {
      throw failure('InvalidStateError', `There is no offer to answer: signalingState is ${this.state}`);
    }
    return this.#create('answer', this.#sdp.answer(withoutLine(this.remote.sdp)));
  }

  #create(type, bare) {
    const sdp = withLine(bare, this.#lineOf());
    this.#created[type] = sdp;
    return new this.#Description({ type, sdp });
  }

  /** `setLocalDescription` of a page, which may leave the type or the text to the browser. */
  setLocal(init) {
    const type = init?.type ?? (['stable', 'have-local-offer', 'have-remote-pranswer'].includes(this.state) ? 'offer' : 'answer');
    if (type === 'rollback') return this.#set('local', type, '');
    const made = type === 'offer' ? 'offer' : 'answer';
    this.#check('local', type);
    const sdp = init?.sdp || this.#created[made] || (made === 'offer' ? this.createOffer() : this.createAnswer()).sdp;
    this.#set('local', type, sdp);
  }

  setRemote(init) {
    const { type, sdp } = new this.#Description(init);
    // W3C: an offer in the middle of this side's own takes that back.
    if (type === 'offer' && this.state === 'have-local-offer') this.#set('local', 'rollback', '');
    this.#set('remote', type, sdp);
    if (type === 'offer') this.#mid = /^m=application[^]*?^a=mid:(\S+)/m.exec(sdp)?.[1] ?? this.#mid;
  }

  #check(side, type) {
    const next = STEPS[this.state]?.[`${side} ${type}`];
    if (!next) throw failure('InvalidStateError', `A ${side} ${type} cannot be set: signalingState is ${this.state}`);
    return next;
  }

  #set(side, type, sdp) {
    const next = this.#check(side, type);
    if (type !== 'rollback' && !sdp.startsWith('v=0')) throw failure('OperationError', `The ${type} is no SDP: it begins with ${JSON.stringify(sdp.slice(0, 20))}`);
    this.state = next;
    if (type === 'rollback') {
      this.pending = { local: null, remote: null };
    } else if (type === 'answer') {
      const answer = new this.#Description({ type, sdp });
      this.current = side === 'local' ? { local: answer, remote: this.pending.remote } : { local: this.pending.local, remote: answer };
      this.pending = { local: null, remote: null };
    } else {
      this.pending[side] = new this.#Description({ type, sdp });
    }
    if (type === 'rollback' || next === 'stable') this.#created = { offer: '', answer: '' };
    if (next === 'stable' && type === 'answer') this.#isRestarting = false;
  }
}
