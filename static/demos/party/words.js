/** Why a player has no seat. */
export const NO_SEAT = {
  'wrong room': 'There is no room with this code. Compare it with the one on the computer’s screen.',
  'no player':
    'This game has started and the room is locked. If you were in it, join with the same name. Otherwise ' +
    'wait for a new room, which the computer offers after the round.',
  'room full': 'This room is full.',
  silent: 'The room exists, but the computer does not answer. It may be asleep: wake it and bring the game to the front.',
  direct:
    'The broker works, but the devices cannot reach each other directly. Put both on the same Wi-Fi, not on a ' +
    'guest network, and turn off VPN and mobile data.',
  closed: 'The computer has closed this room. If it shows another code, join with that one.',
  replaced: 'Another device has joined with your name and took your place.',
};

/** The computer has lost its room. */
export const LOST = {
  title: 'The room is closed',
  advice:
    'The connection to the broker was lost. Connected players can keep playing. But nobody new ' +
    'can join until a new room is open, and players who lose their connection cannot come back.',
};

/** The start button in each phase of the game. */
export const START_LABELS = { lobby: 'Start', countdown: 'Playing…', round: 'Playing…', over: 'Play again' };
