// Tells how two peers are connected, or guesses why they are not. The server gives the candidates of its relay lower priorities than
// any client.

const SERVERS_HIGHEST = 255;

/** The candidates in a description: the place of each, and its kind: that of ICE, or 'server' or 'tcp'. */
export function candidatesIn(description) {
  // candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ TYPE (RFC 8839, section 5.1)
  const lines = description?.sdp?.matchAll(/^a=candidate:\S+ \d+ (\S+) (\d+) (\S+ \d+) typ (\w+)/gm) ?? [];
  return Array.from(lines, ([, transport, priority, place, type]) => {
    const kind = /^tcp$/i.test(transport) ? 'tcp' : type;
    return { place, kind: Number(priority) <= SERVERS_HIGHEST ? 'server' : kind };
  });
}

/** The pair of candidates that is in use. */
export function pairIn(report) {
  const all = [...report.values()];
  // Firefox has no report of the transport, and marks the pair.
  return report.get(all.find(({ type }) => type === 'transport')?.selectedCandidatePairId)
    ?? all.find(({ type, selected }) => type === 'candidate-pair' && selected);
}

/** The bytes that a connection has `sent` and `received`, over all its pairs: ICE moves to another one when it finds a better. */
export function bytesIn(report) {
  const all = [...report.values()];
  // Firefox counts none there.
  const transports = all.filter(({ type, bytesSent }) => type === 'transport' && bytesSent !== undefined);
  const counted = transports.length > 0 ? transports : all.filter(({ type }) => type === 'candidate-pair');
  const total = (name) => counted.reduce((sum, { [name]: bytes = 0 }) => sum + bytes, 0);
  return { sent: total('bytesSent'), received: total('bytesReceived') };
}

/** 'direct', 'relay' for the relay of the server, 'turn' for a TURN server, or 'pipe' over the broker. The server has `added` these places. */
export function wayIn(report, added) {
  if ([...report.values()].some(({ type }) => type === 'pipe')) return 'pipe';
  const pair = pairIn(report);
  const [local, remote] = [report.get(pair?.localCandidateId), report.get(pair?.remoteCandidateId)];
  if (!remote) throw new Error('This browser does not say which way the data took.');
  if (added.has(`${remote.address} ${remote.port}`)) return 'relay';
  return [local, remote].some((end) => end?.candidateType === 'relay') ? 'turn' : 'direct';
}

/** The places of the relay of the server in a description. */
export const placesOfServer = (description) =>
  new Set(candidatesIn(description).filter(({ kind }) => kind === 'server').map(({ place }) => place));

/** The way of a connection, as one end knows it. */
export const wayOfEnd = async (connection) => wayIn(await connection.getStats(), placesOfServer(connection.remoteDescription));

/**
 * Guesses why a connection has not opened: a reason of call reports. `known` has its descriptions and ICE servers. `isDenied`: the browser gives no camera; `isGone`: the other peer is
 * absent; `isRefused`: a description was refused; `isEarly`: its page did not wait.
 */
export function guessWhy({ isDenied = false, isGone = false, isRefused = false, isEarly = false }, known) {
  const { localDescription, remoteDescription, iceServers } = known;
  const media = remoteDescription?.sdp?.match(/^m=(audio|video) .*/gm) ?? [];
  const local = candidatesIn(localDescription).map(({ kind }) => kind);
  const kinds = [...local, ...candidatesIn(remoteDescription).map(({ kind }) => kind)];
  if (isDenied) return 'permission';
  if (isGone) return 'peer_gone';
  if (isRefused || (media.length > 0 && media.every((line) => / 0 /.test(line)))) return 'codec';
  if (isEarly) return 'left';
  if (!remoteDescription) return 'unanswered';
  // A server was asked, and did not answer.
  if (iceServers?.length > 0 && !local.some((kind) => /srflx|relay/.test(kind))) return 'no_udp';
  return kinds.some((kind) => /relay|server/.test(kind)) ? 'unknown' : 'no_relay';
}
