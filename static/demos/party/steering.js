const KEYS = { ArrowLeft: -1, a: -1, A: -1, ArrowRight: 1, d: 1, D: 1 };

/**
 * Turns touches and keys into a direction: -1 is left, 1 is right, and 0 straight on. `pads` are
 * buttons with `data-turn`. Calls `onTurn(direction)` for each change.
 */
export function enableSteering(pads, onTurn) {
  // Each finger or key that is down, with its side.
  const held = new Map();
  let turn = 0;

  function update() {
    const sides = [...held.values()];
    for (const pad of pads) pad.classList.toggle('held', sides.includes(Number(pad.dataset.turn)));
    const wanted = Math.sign(sides.reduce((sum, side) => sum + side, 0));
    if (wanted === turn) return;
    turn = wanted;
    onTurn(turn);
  }

  const hold = (what, side) => {
    held.set(what, side);
    update();
  };
  const release = (what) => {
    if (held.delete(what)) update();
  };

  for (const pad of pads) {
    const side = Number(pad.dataset.turn);
    pad.addEventListener('pointerdown', (event) => {
      pad.setPointerCapture(event.pointerId);
      hold(event.pointerId, side);
    });
    for (const type of ['pointerup', 'pointercancel', 'lostpointercapture']) {
      pad.addEventListener(type, (event) => release(event.pointerId));
    }
    // A long press must not open the context menu.
    pad.addEventListener('contextmenu', (event) => event.preventDefault());
  }

  document.addEventListener('keydown', (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.altKey || event.metaKey || target.closest('input')) return;
    const pressesPad = event.key === ' ' || event.key === 'Enter';
    const side = KEYS[event.key] ?? (pressesPad ? Number(target.dataset.turn) || undefined : undefined);
    if (side === undefined) return;
    event.preventDefault();
    hold(event.key, side);
  });
  document.addEventListener('keyup', (event) => release(event.key));
  window.addEventListener('blur', () => {
    held.clear();
    update();
  });
}
