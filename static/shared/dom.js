// Makes elements. Texts of strangers become text nodes, never HTML.

/** `h('p', { class: 'note' }, 'text', element, …)`. A function among the properties listens: `onclick`. */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [property, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(property.slice(2), value);
    else element.setAttribute(property, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => (child ?? false) !== false));
  return element;
}

export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  element.append(...children);
  return element;
}
