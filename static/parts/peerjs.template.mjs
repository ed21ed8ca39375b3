/*! PeerJS {{version}} (MIT), preset to the broker that serves this file: `new Peer()` connects there.
 *  The build without a preset is beside it: {{plain}}, integrity {{integrity}} */
{{pipes}}
// A module sets no globals, but this build of PeerJS does.
const { peerjs, Peer: global } = window;
{{library}}
const library = window.peerjs;
Object.assign(window, { peerjs, Peer: global });
{{preset}}
{{reports}}
const { util } = library;
const Peer = presetPeer(library, import.meta.url, {{settings}});
export { Peer, util, Peer as default };
