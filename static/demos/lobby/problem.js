const element = (id) => document.getElementById(id);

/**
 * Shows what is wrong, and what can be done.
 * @param {{ title: string, text: string | (string | Node)[], buttons: { label: string, action: () => void }[] }} content
 */
export function showProblem({ title, text, buttons }) {
  element('problem-title').textContent = title;
  element('problem-advice').replaceChildren(...[text].flat());
  element('problem-buttons').replaceChildren(...buttons.map(({ label, action }) => {
    const button = Object.assign(document.createElement('button'), { type: 'button', className: 'button', textContent: label });
    button.addEventListener('click', action);
    return button;
  }));
  element('problem').hidden = false;
}

export function hideProblem() {
  element('problem').hidden = true;
}
