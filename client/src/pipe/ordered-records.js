// Records in order: a sender that keeps what is not acknowledged and says it again, and a receiver that takes each record once.

import { concat } from './bytes.js';
import { MOST_FRAME, PipeError, headerOf } from './frames.js';
import { seal, unseal } from './sealing.js';

/** The most bytes of records that a sender keeps. */
export const WINDOW = 1_048_576;

export class Sender {
  #key;
  #counter = 0;
  /** Frames from the first that is not acknowledged. @type {Uint8Array[]} */
  #kept = [];
  #bytes = 0;

  constructor(key) {
    this.#key = key;
  }

  get hasRoom() {
    return this.#bytes + MOST_FRAME <= WINDOW;
  }

  /** The frame of a record, which is kept until the other end has it. */
  seal(plain) {
    const header = headerOf(this.#counter);
    const frame = concat(header, seal(this.#key, header, plain));
    this.#counter += 1;
    this.#kept.push(frame);
    this.#bytes += frame.length;
    return frame;
  }

  /** The other end expects this record next: it has those before. */
  acknowledge(next) {
    const first = this.#counter - this.#kept.length;
    if (next < first || next > this.#counter) throw new PipeError(`record ${next} is expected, but ${first} to ${this.#counter} can be`);
    for (const { length } of this.#kept.splice(0, next - first)) this.#bytes -= length;
  }

  /** The frames that the other end does not have. */
  get unacknowledged() {
    return this.#kept;
  }
}

export class Receiver {
  #key;
  next = 0;

  constructor(key) {
    this.#key = key;
  }

  /** The plain record. Throws unless it is the next one, as its sender sealed it. */
  open({ counter, header, sealed }) {
    if (counter !== this.next) throw new PipeError(`record ${counter} came where ${this.next} was expected`);
    let plain;
    try {
      plain = unseal(this.#key, header, sealed);
    } catch {
      throw new PipeError(`record ${counter} is not what the other page has sealed`);
    }
    this.next += 1;
    return plain;
  }
}
