/** Resolves like `promise`, or rejects with `message` after `wait` milliseconds. */
export function within(wait, promise, message) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(message)), wait);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
