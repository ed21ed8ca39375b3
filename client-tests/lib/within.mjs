// All waiting has a bound, and this is it.

/** How long a test waits for anything, in milliseconds. */
export const PATIENCE = 15_000;

/** The promise, or an error that says what was waited for (a text, or a function for one made then). */
export async function within(what, promise, patience = PATIENCE) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => {
      fail(new Error(`waited ${patience} ms for ${typeof what === 'function' ? what() : what}`));
    }, patience);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
