/** Resolves like `promise`, or rejects with `message`, or what it returns, after `wait` milliseconds. */
export function within(wait, promise, message) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(typeof message === 'function' ? message() : message)), wait);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
