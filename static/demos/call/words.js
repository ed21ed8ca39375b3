export const WAITING = {
  title: 'Nobody is calling yet',
  text: 'Send your link to one person. They call you when they open it, and you decide whether to accept.',
};

export const INCOMING = {
  title: 'Somebody is calling',
  text: 'Somebody opened your link. They cannot see or hear you before you accept.',
};

const SAME_NETWORK =
  'The broker works, but the devices cannot reach each other directly. Put both on the same Wi-Fi, not on a guest ' +
  'network, and turn off VPN and mobile data.';

/** While a call begins. */
export const PHASES = {
  preparing: { title: 'Camera and microphone', text: 'The browser may ask whether this page may use them.' },
  ready: { title: 'Connecting to the broker…' },
  calling: { title: 'Calling…' },
  ringing: { title: 'Ringing…', text: 'The other person has to accept the call.' },
  connecting: { title: 'Connecting…' },
};

const STATUSES = { incoming: 'Incoming call', ringing: 'Ringing…', preparing: 'Preparing the call…', accepting: 'Preparing the call…' };

/** The state and the text of the status. `ownId` is missing without the broker, `target` if the page waits. @returns {[string, string]} */
export function statusOf(phase, { ownId, brokerProblem, target }) {
  if (phase === 'talking') return ['connected', ownId ? 'In a call' : 'In a call; the broker is not reachable'];
  if (brokerProblem) return ['retrying', 'The broker is not reachable, trying again…'];
  if (phase || !ownId) return ['connecting', STATUSES[phase] ?? 'Connecting…'];
  return ['ready', target ? 'Not in a call' : 'Waiting for a call'];
}

/** Why a call ended. */
export const OUTCOMES = {
  'hung up': { title: 'The other person hung up' },
  'hung up by us': { title: 'The call is over' },
  missed: { title: 'You missed a call' },
  declined: { title: 'The call was declined' },
  'declined by us': { title: 'You declined the call' },
  busy: { title: 'The other person is in another call', text: 'Try again a little later.' },
  nobody: {
    title: 'Nobody answered at this link',
    text:
      'A link works only while the page that showed it is open, and that page did not answer. Ask for a new link.',
  },
  'no answer': { title: 'No answer', text: 'The page rang for a minute, but nobody accepted the call.' },
  ourselves: { title: 'This is your own link', text: 'Send it to somebody else.' },
  direct: { title: 'No direct connection to the other device', text: SAME_NETWORK },
  lost: { title: 'The connection was lost', text: 'One of the devices may have changed its network or gone to sleep.' },
  broker: {
    title: 'The broker was lost before the call started',
    text: 'Check that peerbroker is running and that this device is on a network that reaches it.',
  },
};
