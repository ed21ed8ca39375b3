import { h } from '../../shared/dom.js';

const MOST = 500;
const LONGEST = 2_000;

const list = document.querySelector('#messages');

const isBytes = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value);
const sizeOf = ({ byteLength }) => `${byteLength.toLocaleString('en')} bytes`;
const jsonOf = (value) => JSON.stringify(value, (_, part) => (isBytes(part) ? sizeOf(part) : part), 2) ?? String(value);

/** Adds a message of `You` or `They`. Whatever it is becomes text. */
export function addMessage(who, value) {
  list.append(h('div', { class: `message card of-${who}` }, h('span', { class: 'visually-hidden' }, `${who}: `), contentOf(value)));
  if (list.childElementCount > MOST) remove(list.firstElementChild);
  // Somebody may have scrolled up. The list stays at its end by itself.
  if (who === 'You') list.scrollIntoView({ block: 'end' });
}

function contentOf(value) {
  if (isBytes(value)) return [`${sizeOf(value)} `, saveLink(value)];
  const isText = typeof value === 'string';
  const text = isText ? value : jsonOf(value);
  const shown = h(isText ? 'span' : 'code', {}, text.slice(0, LONGEST));
  const more = text.length - LONGEST;
  return more > 0 ? [shown, `… ${more.toLocaleString('en')} more characters `, saveLink(text)] : shown;
}

const saveLink = (content) => h('a', { class: 'button small', download: 'message', href: URL.createObjectURL(new Blob([content])) }, 'Save');

function remove(message) {
  // The browser keeps what these stand for until then.
  for (const { href } of message.querySelectorAll('a')) URL.revokeObjectURL(href);
  message.remove();
}
