/** `1 point`, `2 points`. */
export const count = (number, thing) => `${number} ${thing}${number === 1 ? '' : 's'}`;

/** `ANN`, `ANN and BEN`, `ANN, BEN and CAT`. */
export function names(players) {
  const all = players.map(({ name }) => name);
  const last = all.pop() ?? '';
  return all.length === 0 ? last : `${all.join(', ')} and ${last}`;
}

/** `1st`, `2nd`, `3rd`, `4th` …; right up to 20th. */
export const nth = (place) => `${place}${['st', 'nd', 'rd'][place - 1] ?? 'th'}`;
