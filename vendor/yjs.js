// What the whiteboard takes from Yjs and y-webrtc, as the global `Yjs`: `copy.mjs` makes one script of it.
export { fromBase64, toBase64 } from 'lib0/buffer';
export { simpleDiffStringWithCursor } from 'lib0/diff';
export { WebrtcProvider } from 'y-webrtc';
export {
  Array,
  Doc,
  Map,
  UndoManager,
  applyUpdate,
  createAbsolutePositionFromRelativePosition,
  createRelativePositionFromTypeIndex,
  encodeStateAsUpdate,
} from 'yjs';
