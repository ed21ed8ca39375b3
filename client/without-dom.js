// Classes of pages that engines such as React Native's Hermes lack: bundle.mjs puts these in place of the globals, which stay as they are.

export const Event = globalThis.EventTarget ? globalThis.Event : class {
  constructor(type) {
    this.type = type;
  }
};

export const EventTarget = globalThis.EventTarget ?? class {
  #listeners = [];

  addEventListener(type, listener, { once = false } = {}) {
    this.removeEventListener(type, listener);
    this.#listeners.push({ type, listener, once });
  }

  removeEventListener(type, listener) {
    this.#listeners = this.#listeners.filter((known) => known.type !== type || known.listener !== listener);
  }

  dispatchEvent(event) {
    event.target = event.currentTarget = this;
    for (const known of this.#listeners.filter(({ type }) => type === event.type)) {
      // An earlier listener may have removed it.
      if (!this.#listeners.includes(known)) continue;
      if (known.once) this.removeEventListener(known.type, known.listener);
      try {
        known.listener.call(this, event);
      } catch (error) {
        setTimeout(() => { throw error; });
      }
    }
    return true;
  }
};

export const MessageEvent = globalThis.MessageEvent ?? class extends Event {
  constructor(type, { data }) {
    super(type);
    this.data = data;
  }
};

export const DOMException = globalThis.DOMException ?? class extends Error {
  constructor(message, name) {
    super(message);
    this.name = name;
  }
};

/** Only for `nextTask`. */
export const MessageChannel = globalThis.MessageChannel ?? class {
  port1 = { onmessage: () => {}, close() {} };
  port2 = { postMessage: () => setTimeout(() => this.port1.onmessage()) };
};

const LONE = /[\uD800-\uDBFF][\uDC00-\uDFFF]|[\uD800-\uDFFF]/g;

export const TextEncoder = globalThis.TextEncoder ?? class {
  encode(text) {
    const whole = text.replace(LONE, (found) => (found.length > 1 ? found : '\uFFFD'));
    return Uint8Array.from(unescape(encodeURIComponent(whole)), (letter) => letter.charCodeAt(0));
  }
};

/** With `fatal` and `ignoreBOM`, which polyfills lack. */
export class TextDecoder {
  decode(bytes) {
    return decodeURIComponent(escape(Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')));
  }
}
