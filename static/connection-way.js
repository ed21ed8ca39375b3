// Tells how two peers of this page are connected. The page sees what both sent and received. So it knows which candidates the
// server added: those of its relay, on whichever node.

const SERVERS_HIGHEST = 255;

/** 'direct', 'relay' for the relay of the server, 'turn' for a TURN server, or 'broker' without WebRTC. `sender` and `recipient` are two ends of a connection. */
export async function wayOf(sender, recipient) {
  return wayWith(await sender.getStats(), addedCandidates(sender, recipient));
}

/** The same, as one end knows it: the server gives its candidates lower priorities than any client. */
export async function wayOfEnd(connection) {
  const added = candidates(connection.remoteDescription, SERVERS_HIGHEST);
  return wayWith(await connection.getStats(), added);
}

/** True if the data of a connection goes over the broker, for as long as the connection lasts. */
export async function goesOverBroker(connection) {
  return wayWith(await connection.getStats(), new Set()) === 'broker';
}

function wayWith(report, added) {
  const all = [...report.values()];
  if (all.some(({ type }) => type === 'pipe')) return 'broker';
  // Firefox has no report of the transport, and marks the pair.
  const pair =
    report.get(all.find(({ type }) => type === 'transport')?.selectedCandidatePairId) ??
    all.find(({ type, selected }) => type === 'candidate-pair' && selected);
  const [local, remote] = [report.get(pair?.localCandidateId), report.get(pair?.remoteCandidateId)];
  if (!remote) throw new Error('This browser does not say which way the data took.');
  if (added.has(`${remote.address} ${remote.port}`)) return 'relay';
  return [local, remote].some((end) => end?.candidateType === 'relay') ? 'turn' : 'direct';
}

/** Addresses and ports that `sender` received, but `recipient` never sent. */
function addedCandidates(sender, recipient) {
  const received = candidates(sender.remoteDescription);
  for (const own of candidates(recipient.localDescription)) received.delete(own);
  return received;
}

function candidates(description, highest = Infinity) {
  // candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ … (RFC 8839, section 5.1)
  const lines = [...(description?.sdp.matchAll(/^a=candidate:\S+ \d+ \S+ (\d+) (\S+ \d+) typ /gm) ?? [])];
  return new Set(lines.filter(([, priority]) => Number(priority) <= highest).map(([, , place]) => place));
}

/** Stops the peer from sending its own candidates, so that its connections have only those that the server adds. */
export function withholdCandidates(peer) {
  const { socket } = peer;
  const send = socket.send.bind(socket);
  socket.send = (message) => {
    if (message.type !== 'CANDIDATE') send(message);
  };
}
