/*! PeerJS {{version}} (MIT), preset to the broker that serves this file: `new Peer()` connects there.
 *  The build without a preset is beside it: {{plain}}, integrity {{integrity}} */
{{pipes}}
{{library}}
(() => {
  {{preset}}
  {{reports}}
  window.peerjs.Peer = window.Peer = presetPeer(window.peerjs, document.currentScript?.src, {{settings}});
})();
