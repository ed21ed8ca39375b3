import { count } from './grammar.js';

const list = document.querySelector('#scores');

/** Shows the players; after the lobby sorted by points. */
export function showScores(players, phase) {
  const inOrder = phase === 'lobby' ? players : [...players].sort((a, b) => b.points - a.points);
  list.replaceChildren(...inOrder.map((player) => line(player, phase)));
  document.querySelector('#scores-empty').hidden = players.length > 0;
}

function line({ name, colour, points, away }, phase) {
  const item = document.createElement('li');
  item.dataset.colour = colour;
  item.classList.toggle('away', away);
  const note = away ? 'away' : '';
  item.append(
    part('swatch', ''),
    part('name', name),
    part('note', note),
    part('points', phase === 'lobby' ? '' : count(points, 'point')),
  );
  return item;
}

const part = (className, text) => Object.assign(document.createElement('span'), { className, textContent: text });
