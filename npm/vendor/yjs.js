// The part of Yjs and y-webrtc that the whiteboard needs, as the global `Yjs`: `copy.mjs` makes one script of it.
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
