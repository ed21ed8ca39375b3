// Runs in every page under test, before the page's own script: logs events and waits for them.
//
// Tests never poll. They ask for the next event of a name, which may have happened already. The
// timeout is in the test (page.mjs).

window.log = (() => {
  const events = [];
  const waiting = new Set();

  function record(name, detail) {
    events.push({ name, detail, taken: false });
    waiting.forEach((look) => look());
  }

  const story = () => events.map(({ name, detail }) => [name, detail].join(' ').trim()).join(', ') || 'nothing';

  /** The names and details of all events. */
  const order = () => events.map(({ name, detail }) => [name, detail]);

  /** The first event of one of these names that no test has taken yet. */
  function next(names) {
    return new Promise((found) => {
      const look = () => {
        const event = events.find((candidate) => !candidate.taken && names.includes(candidate.name));
        if (!event) return;
        event.taken = true;
        waiting.delete(look);
        found({ name: event.name, detail: event.detail });
      };
      waiting.add(look);
      look();
    });
  }

  /** Waits for one event; a failure in the meantime is the failure of the test. */
  async function must(name) {
    const event = await next([name, 'error', 'close']);
    if (event.name !== name) throw new Error(`${event.name} instead of ${name}; seen: ${story()}`);
    return event.detail;
  }

  const forget = () => events.forEach((event) => { event.taken = true; });

  /** The details of every event of this name. */
  const details = (name) => events.filter((event) => event.name === name).map(({ detail }) => detail);

  const count = (name) => details(name).length;

  /** Records that a stream moves. */
  function watch(stream, detail) {
    const video = document.body.appendChild(document.createElement('video'));
    video.muted = true;
    video.srcObject = stream;
    // The second frame, because the first could be a poster.
    video.requestVideoFrameCallback(() => {
      video.requestVideoFrameCallback(() => record('moving picture', detail));
    });
    video.play();
  }

  return { watch, record, next, must, forget, details, count, story, order };
})();
