import { h } from '../../shared/dom.js';
import { count } from './grammar.js';

const list = document.querySelector('#scores');

/** Shows the players; after the lobby sorted by points. */
export function showScores(players, phase) {
  const inOrder = phase === 'lobby' ? players : [...players].sort((a, b) => b.points - a.points);
  list.replaceChildren(...inOrder.map((player) => line(player, phase)));
  document.querySelector('#scores-empty').hidden = players.length > 0;
}

function line({ name, colour, points, away }, phase) {
  const texts = { swatch: '', name, note: away ? 'away' : '', points: phase === 'lobby' ? '' : count(points, 'point') };
  const parts = Object.entries(texts).map(([part, text]) => h('span', { class: part }, text));
  return h('li', { class: away && 'away', 'data-colour': colour }, parts);
}
