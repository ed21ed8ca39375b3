// `peerbroker/peer` of npm: presets the PeerJS of a page's own bundle.

import preset from './peer.js';
import callReports from './call-reports.js';

export function presetPeer(library, broker, { key = 'peerjs', iceServers = true, reports = false } = {}) {
  const url = new URL(broker, globalThis.location?.href);
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  const takesReports = { own: reports, others: reports };
  return preset(library, url.href, { key: encodeURIComponent(key), hasIceServers: iceServers, takesReports }, reports ? callReports : undefined);
}
