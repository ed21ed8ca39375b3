import { h } from '../../shared/dom.js';

const MOST = 200;
const LONGEST = 500;

const log = document.querySelector('#messages');
const form = document.querySelector('#say');

/** The messages, and the form for new ones. `send(text)` rejects if a message was not sent. */
export class Chat {
  constructor(send) {
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      const field = form.querySelector('input');
      const text = field.value.trim();
      if (!text) return;
      field.value = '';
      try {
        await send(text);
      } catch (error) {
        field.value ||= text;
        this.note(`Not sent: ${error.message}.`);
      }
    });
  }

  add(name, text) {
    if (typeof text !== 'string' || !text) return;
    this.#append('message', h('strong', {}, name), ' ', text.slice(0, LONGEST));
  }

  note(text) {
    this.#append('note', text);
  }

  #append(kind, ...content) {
    log.append(h('p', { class: kind }, content));
    if (log.childElementCount > MOST) log.firstElementChild.remove();
    log.scrollTop = log.scrollHeight;
  }
}
