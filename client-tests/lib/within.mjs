// The timeout of every wait.

/** The longest time that a test waits for anything, in milliseconds. */
export const PATIENCE = 30_000;

/** Resolves like the promise, or rejects with an error that names the event (a text, or a function that returns one). */
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
