const NAME = 'text';
const PAUSE = 2_000;

/** Makes a text area show the shared text of a document, and write it. `onWriting(isWriting)` says when its person writes. */
export function shareText(field, doc, onWriting) {
  const { Doc, UndoManager, applyUpdate, encodeStateAsUpdate, simpleDiffStringWithCursor } = window.Yjs;
  // The text that the field shows. It may be behind: a change within a word that a keyboard is composing would disturb it.
  const shown = new Doc();
  const text = shown.getText(NAME);
  const history = new UndoManager(text, { trackedOrigins: new Set([field]) });
  const held = [];
  let isComposing = false;
  let timer;

  applyUpdate(shown, encodeStateAsUpdate(doc), doc);
  field.value = text.toString();

  shown.on('update', (update, origin) => origin !== doc && applyUpdate(doc, update, shown));
  doc.on('update', (update, origin) => {
    if (origin === shown) return;
    held.push(update);
    if (!isComposing) showHeld();
  });

  field.addEventListener('compositionstart', () => (isComposing = true));
  field.addEventListener('compositionend', () => {
    isComposing = false;
    write();
    showHeld();
  });
  field.addEventListener('input', () => {
    write();
    onWriting(true);
    clearTimeout(timer);
    timer = setTimeout(() => onWriting(false), PAUSE);
  });
  // The browser forgets its own history when a script sets the text.
  field.addEventListener('keydown', (event) => {
    const change = undoOrRedo(event);
    if (!change) return;
    event.preventDefault();
    keepSelection(() => history[change]());
  });

  function write() {
    const { index, remove, insert } = simpleDiffStringWithCursor(text.toString(), field.value, field.selectionEnd);
    if (remove === 0 && insert === '') return;
    shown.transact(() => {
      text.delete(index, remove);
      text.insert(index, insert);
    }, field);
  }

  function showHeld() {
    keepSelection(() => {
      for (const update of held.splice(0)) applyUpdate(shown, update, doc);
    });
  }

  /** Changes the shown text. The selection stays with the letters to its left. */
  function keepSelection(change) {
    const { createRelativePositionFromTypeIndex: relative, createAbsolutePositionFromRelativePosition: absolute } = window.Yjs;
    const { selectionStart, selectionEnd, selectionDirection, scrollTop } = field;
    const ends = [selectionStart, selectionEnd].map((end) => relative(text, end, -1));
    change();
    const value = text.toString();
    if (value === field.value) return;
    const [start, end] = ends.map((place) => absolute(place, shown)?.index ?? value.length);
    field.value = value;
    // Setting it in a field without the focus would move the focus in Safari.
    if (document.activeElement === field) field.setSelectionRange(start, end, selectionDirection);
    field.scrollTop = scrollTop;
  }
}

/** `undo` or `redo` if these keys mean that. */
export function undoOrRedo({ key, ctrlKey, metaKey, shiftKey, altKey }) {
  if (!(ctrlKey || metaKey) || altKey) return undefined;
  if (key.toLowerCase() === 'z') return shiftKey ? 'redo' : 'undo';
  return key.toLowerCase() === 'y' ? 'redo' : undefined;
}
