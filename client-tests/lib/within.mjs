// The timeout of every wait, and of every test.

import { setTimeout as pause } from 'node:timers/promises';

/** The longest time that a test waits for anything, in milliseconds. */
export const PATIENCE = 30_000;

/** The longest time of a test. Its waits end themselves; this ends what has no bound. */
export const LIMIT = 180_000;

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

/** Waits for what no event tells. `happens` may be async. */
export async function until(what, happens) {
  let isOver = false;
  const look = async () => {
    while (!isOver && !await happens()) await pause(10);
  };
  await within(what, look()).finally(() => { isOver = true; });
}
