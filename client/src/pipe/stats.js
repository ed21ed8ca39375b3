// What `getStats()` says of a connection over the broker, with what is true. `pipe` is of this script only.

/** @returns {Map<string, any>} */
export function statsOf({ channels, broker, isConnected, isOfferer }) {
  const timestamp = performance.timeOrigin + performance.now();
  const entries = new Map();
  const add = (id, type, more) => entries.set(id, { id, type, timestamp, ...more });
  const all = channels.all;
  const sum = (name) => all.reduce((total, { counts }) => total + counts[name], 0);
  const bytes = { bytesSent: sum('bytesSent'), bytesReceived: sum('bytesReceived') };

  add('connection', 'peer-connection', { dataChannelsOpened: channels.counts.opened, dataChannelsClosed: channels.counts.closed });
  for (const { id, options: { label, protocol }, state, counts } of all) {
    add(`channel-${id ?? label}`, 'data-channel', { label, protocol, dataChannelIdentifier: id, state, ...counts });
  }
  if (!isConnected) return entries;

  const { hostname, port, protocol } = new URL(broker);
  const isSecure = protocol === 'https:';
  const address = { address: hostname, ip: hostname, port: Number(port) || (isSecure ? 443 : 80), protocol: 'tcp' };
  const candidate = { transportId: 'transport', candidateType: 'relay', priority: 0, ...address };
  add('local', 'local-candidate', { ...candidate, relayProtocol: isSecure ? 'tls' : 'tcp', url: broker });
  add('remote', 'remote-candidate', candidate);
  add('pair', 'candidate-pair', {
    transportId: 'transport', localCandidateId: 'local', remoteCandidateId: 'remote', state: 'succeeded', nominated: true, selected: true, ...bytes,
  });
  add('transport', 'transport', {
    selectedCandidatePairId: 'pair', dtlsState: 'connected', iceState: 'connected', iceRole: isOfferer ? 'controlling' : 'controlled', ...bytes,
  });
  add('pipe', 'pipe', { broker, ...bytes });
  return entries;
}
