// Events as browsers have them.

/** Runs a function in a task of its own. Unlike a timer, it does not wait in a hidden page. */
export function nextTask(run) {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    run();
  };
  port2.postMessage(null);
}

/** Those of a connection. */
export const EVENTS = [
  'connectionstatechange', 'datachannel', 'icecandidate', 'icecandidateerror', 'iceconnectionstatechange', 'icegatheringstatechange',
  'negotiationneeded', 'pipe', 'signalingstatechange', 'track',
];

/** Old pages give functions instead of waiting for the promise. */
export function answerOldPages(promise, succeeded, failed) {
  if (typeof succeeded !== 'function') return promise;
  promise.then(succeeded, (error) => failed?.(error));
  return Promise.resolve();
}

/** Gives a class the attributes `on…` of these events. */
export function addHandlers(Class, types) {
  for (const type of types) {
    const handlers = new WeakMap();
    Object.defineProperty(Class.prototype, `on${type}`, {
      get() {
        return handlers.get(this)?.handler ?? null;
      },
      set(handler) {
        const known = handlers.get(this);
        const isOne = typeof handler === 'function' || (typeof handler === 'object' && handler !== null);
        if (known) known.handler = isOne ? handler : null;
        else if (isOne) handlers.set(this, listen(this, type, handler));
      },
      enumerable: true,
      configurable: true,
    });
  }
}

/** A handler is called in the place that the first one had among the listeners. */
function listen(target, type, handler) {
  const known = { handler };
  EventTarget.prototype.addEventListener.call(target, type, function (event) {
    if (typeof known.handler === 'function') known.handler.call(this, event);
  });
  return known;
}

export class DataChannelEvent extends Event {
  constructor(type, options) {
    super(type, options);
    if (!options.channel) throw new TypeError('An event of a channel needs its channel');
    this.channel = options.channel;
  }
}

export class IceEvent extends Event {
  constructor(type, options = {}) {
    super(type, options);
    this.candidate = options.candidate ?? null;
    this.url = options.url ?? null;
  }
}

export class RtcErrorEvent extends Event {
  constructor(type, options) {
    super(type, options);
    this.error = options.error;
  }
}

/** RTCError: an OperationError with its cause. */
export class RtcError extends DOMException {
  sdpLineNumber = null;
  httpRequestStatusCode = null;
  receivedAlert = null;
  sentAlert = null;

  /** @param {{ errorDetail: string, sctpCauseCode?: number | null }} init */
  constructor({ errorDetail, sctpCauseCode = null }, message = '') {
    super(message, 'OperationError');
    this.errorDetail = errorDetail;
    this.sctpCauseCode = sctpCauseCode;
  }
}
