// Watches both transports of a PeerJS release with HTTP streams, and can run its timers early.

/**
 * From now on the client's log has 'socket open', 'stream' with its number when it begins, and
 * 'stream line' with the type of each message in it; and `hurry` ends the client's long waits.
 */
export function watchTransports(client) {
  return client.run(() => {
    const { record } = window.log;

    const { open } = XMLHttpRequest.prototype;
    XMLHttpRequest.prototype.open = function (method, url, ...rest) {
      const [, number] = String(url).match(/\/id\?i=(\d+)$/) ?? [];
      if (number) follow(this, number);
      return open.call(this, method, url, ...rest);
    };
    function follow(request, number) {
      let told = 0;
      request.addEventListener('readystatechange', () => {
        if (request.readyState === XMLHttpRequest.HEADERS_RECEIVED) record('stream', number);
        // An aborted request has lost its text.
        const lines = request.responseText.split('\n').slice(0, -1);
        lines.slice(told).forEach((line) => record('stream line', gist(line)));
        told = Math.max(told, lines.length);
      });
    }

    const gist = (line) => (/^0+$/.test(line) ? `${line.length} zeros` : JSON.parse(line).type);

    window.WebSocket = class extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols);
        this.addEventListener('open', () => record('socket open'));
      }
    };

    const { setTimeout } = window;
    window.longWaits = [];
    Object.assign(window, {
      setTimeout(work, milliseconds, ...rest) {
        if (![5_000, 25_000].includes(milliseconds)) return setTimeout(work, milliseconds, ...rest);
        const number = setTimeout(() => {}, milliseconds);
        window.longWaits.push({ work, milliseconds });
        return number;
      },
    });
  });
}

/**
 * From now on the client reads each line of a stream when it comes. A busy browser reports several lines as one event, and the client reads
 * one of them: it reads the others only as further lines come, and loses those that are left when it renews the stream.
 */
export function reportEachLine(client) {
  return client.run(() => {
    const { open } = XMLHttpRequest.prototype;
    XMLHttpRequest.prototype.open = function (method, url, ...rest) {
      if (/\/id\?i=\d+$/.test(url)) follow(this);
      return open.call(this, method, url, ...rest);
    };
    function follow(request) {
      let reported = 0;
      request.addEventListener('readystatechange', () => {
        if (request.readyState < XMLHttpRequest.LOADING) return;
        const lines = request.responseText.split('\n').length - 1;
        // This event is the report of the first one.
        for (reported += 1; reported < lines; reported += 1) request.onreadystatechange();
      });
    }
  });
}

/** Runs the client's timers of this duration at once, or after its page was busy for so long. */
export function hurry(client, milliseconds, busy = 0) {
  return client.run(({ milliseconds, busy }) => {
    const end = Date.now() + busy;
    while (Date.now() < end);
    const due = window.longWaits.filter((wait) => wait.milliseconds === milliseconds);
    window.longWaits = window.longWaits.filter((wait) => wait.milliseconds !== milliseconds);
    due.forEach(({ work }) => work());
    return due.length;
  }, { milliseconds, busy });
}
