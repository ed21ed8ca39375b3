/** The names of the colours in `people-colours.css`, which count from 1. */
export const COLOURS = ['', 'red', 'blue', 'green', 'yellow', 'violet', 'pink', 'grey', 'brown'];
