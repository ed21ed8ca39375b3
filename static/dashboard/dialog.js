// Dialogs: a form with buttons, which Escape closes.

import { h } from './shared/dom.js';
import { sentence } from './words.js';

/**
 * Opens a dialog with this content and a button that calls `act`. If `act` rejects, the dialog stays and shows why.
 * Resolves to the result of `act`, or true if it has none; to undefined if the dialog was closed.
 * @param {{ title: string, content?: any, action?: string, isDangerous?: boolean, act?: () => Promise<any>, close?: string }} dialog
 */
export function ask({ title, content = [], action, isDangerous = false, act = async () => {}, close = 'Cancel' }) {
  return new Promise((resolve) => {
    let result;
    const opener = document.activeElement;
    const problem = h('p', { class: 'problem', role: 'alert' });
    const button = action && h('button', { class: `button ${isDangerous ? 'danger' : 'primary'}`, type: 'submit' }, action);
    const dialog = h(
      'dialog',
      { class: 'card', 'aria-labelledby': 'dialog-title' },
      h(
        'form',
        { method: 'dialog', onsubmit: submit },
        h('h2', { id: 'dialog-title' }, title),
        content,
        problem,
        h('p', { class: 'actions' }, h('button', { class: 'button', type: 'button', onclick: () => dialog.close() }, close), button),
      ),
    );

    async function submit(event) {
      event.preventDefault();
      if (!button || button.disabled) return;
      button.disabled = true;
      problem.textContent = '';
      dialog.querySelector('[aria-invalid]')?.removeAttribute('aria-invalid');
      try {
        result = (await act()) ?? true;
        dialog.close();
      } catch (error) {
        showProblem(error);
      } finally {
        button.disabled = false;
      }
    }

    /** Shows an error beside its field: the one of the setting that it names. */
    function showProblem({ status, message }) {
      const [, named, rest] = message.match(/^(\w+): (.*)$/s) ?? [];
      const setting = status === 409 ? 'key' : named;
      const field = [...dialog.querySelectorAll('[data-setting]')].find((each) => each.dataset.setting === setting && !each.hidden);
      if (field) {
        const input = field.querySelector('input, select, textarea');
        const more = field.closest('details');
        if (more) more.open = true;
        field.append(problem);
        input.setAttribute('aria-invalid', 'true');
        input.focus({ preventScroll: true });
      }
      problem.textContent = sentence(field && rest ? rest : message);
      problem.scrollIntoView({ block: 'center' });
    }

    dialog.addEventListener('close', () => {
      dialog.remove();
      // The row of the button may have gone meanwhile, and the focus with it.
      if (!opener?.isConnected) document.querySelector('#main h1')?.focus();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Shows something with a button that closes it. */
export const tell = (title, content) => ask({ title, content, close: 'Close' });

/** Does something at once, and tells if that did not work. */
export const attempt = (work) => work.catch(({ message }) => tell('That did not work', [h('p', {}, message)]));
