import { setStatus } from '../../shared/status.js';
import { recall, remember } from '../../shared/storage.js';
import { Drawing, SIZE } from './drawing.js';
import { enableKeys, enablePen } from './drawing-input.js';
import { People } from './people.js';
import { SharedDocument } from './shared-document.js';
import { shareText, undoOrRedo } from './text.js';

const element = (id) => document.getElementById(id);

/** Opens the board of this code: everybody who opens it draws and writes on it. */
export function startBoard(code) {
  const memory = `board ${code}`;
  const shared = new SharedDocument(memory, recall(memory));
  const people = new People(shared.awareness, SIZE);
  const { doc } = shared;

  draw(doc, people);
  shareText(element('text'), doc, (isWriting) => people.writes(isWriting));
  enableJoin(shared);
  shared.addEventListener('change', () => showState(shared));
  showState(shared);

  // For a reload while nobody else is here.
  for (const event of ['pagehide', 'visibilitychange']) window.addEventListener(event, () => remember(memory, shared.save()));
}

function draw(doc, people) {
  const { Array: List, Map: Entry, UndoManager } = window.Yjs;
  const strokes = doc.getArray('strokes');
  const canvas = element('drawing');
  const own = Symbol('own changes');
  // A stroke is one step, however long it takes.
  const history = new UndoManager(strokes, { trackedOrigins: new Set([own]), captureTimeout: Infinity });
  const change = (action) => doc.transact(action, own);
  const pen = {
    begin(x, y) {
      const stroke = new Entry([['colour', people.colour], ['points', List.from([x, y])]]);
      history.stopCapturing();
      change(() => strokes.push([stroke]));
      return stroke;
    },
    // Somebody may have cleared it meanwhile.
    extend: (stroke, points) => change(() => stroke.get('points')?.push(points)),
    point: (place) => people.point(place),
  };

  new Drawing(canvas, strokes);
  enablePen(canvas, pen);
  enableKeys(canvas, { ...pen, show: showPen });

  element('undo').addEventListener('click', () => history.undo());
  element('redo').addEventListener('click', () => history.redo());
  element('clear').addEventListener('click', () => {
    history.stopCapturing();
    change(() => strokes.delete(0, strokes.length));
  });
  document.addEventListener('keydown', (event) => {
    const step = undoOrRedo(event);
    if (!step || event.defaultPrevented) return;
    event.preventDefault();
    history[step]();
  });

  const showButtons = () => {
    element('undo').setAttribute('aria-disabled', String(!history.canUndo()));
    element('redo').setAttribute('aria-disabled', String(!history.canRedo()));
    element('clear').setAttribute('aria-disabled', String(strokes.length === 0));
    element('invitation').hidden = strokes.length > 0;
  };
  for (const event of ['stack-item-added', 'stack-item-popped', 'stack-cleared']) history.on(event, showButtons);
  strokes.observe(showButtons);
  showButtons();
}

/** Shows where the keyboard draws. */
function showPen(at, isDown) {
  const pen = element('pen');
  pen.hidden = !at;
  element('pen-state').textContent = at ? `The pen is ${isDown ? 'down' : 'up'}.` : '';
  if (!at) return;
  pen.classList.toggle('is-down', isDown);
  pen.style.left = `${(100 * at[0]) / SIZE.width}%`;
  pen.style.top = `${(100 * at[1]) / SIZE.height}%`;
}

/** The panel with the link makes room once somebody has come. */
function enableJoin(shared) {
  const button = element('toggle-join');
  let hadOthers = false;
  const show = (isShown) => {
    element('join').hidden = !isShown;
    button.setAttribute('aria-expanded', String(isShown));
    button.textContent = isShown ? 'Hide link' : 'Show link';
  };
  button.addEventListener('click', () => show(element('join').hidden));
  shared.addEventListener('change', () => {
    if (hadOthers || shared.others === 0) return;
    hadOthers = true;
    show(false);
  });
}

function showState(shared) {
  const { state, text, explanation } = stateOf(shared);
  setStatus(state, text);
  element('explanation').textContent = explanation;
}

/** What the ways of connections mean for the people. */
function explanationOf(ways) {
  if (ways.has('pipe')) return 'Some of you have no other way than over the broker: when it stops, they wait until it is back.';
  if ([...ways].some((way) => way !== 'direct')) return 'A relay connects some of you: when the broker stops, they may lose each other.';
  return 'The broker only introduced you: it can be stopped now.';
}

/** What the page knows of its connections, in words. */
function stateOf({ broker, others, ways, hasMissed }) {
  const people = others === 1 ? '1 person' : `${others} people`;
  const isDirect = ways.size === 1 && ways.has('direct');
  const isOverBroker = ways.size === 1 && ways.has('pipe');
  if (broker === 'lost' && others > 0) {
    const rest = isDirect ? 'You go on with those who are here' : 'You go on with those to whom you are connected directly';
    return {
      state: 'retrying',
      text: `Connected to ${people}, without the broker`,
      explanation: `The broker cannot be reached. ${rest}; new people cannot come.`,
    };
  }
  if (broker === 'lost') {
    return {
      state: 'retrying',
      text: 'The broker cannot be reached',
      explanation: 'You can go on alone. Nobody can come until the broker is back.',
    };
  }
  if (others > 0) {
    return {
      state: 'connected',
      text: `Connected to ${people}${isDirect ? ' directly' : ''}${isOverBroker ? ' over the broker, encrypted' : ''}`,
      explanation: explanationOf(ways),
    };
  }
  if (broker === 'connecting') return { state: 'connecting', text: 'Connecting to the broker…', explanation: '' };
  return {
    state: 'ready',
    text: 'Nobody else is connected',
    explanation: hasMissed
      ? 'Somebody came, but your devices found no way to each other. Put both on one network, or give the broker a relay.'
      : 'Send somebody the whole link: without its part after #, a page starts another board. Drawings and notes go from browser to browser, encrypted.',
  };
}
