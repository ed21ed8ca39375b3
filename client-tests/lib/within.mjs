/** The promise, or an error that says what was waited for (a text, or a function for one made then). */
export async function within(milliseconds, what, promise) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => {
      fail(new Error(`waited ${milliseconds} ms for ${typeof what === 'function' ? what() : what}`));
    }, milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
