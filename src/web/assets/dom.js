/**
 * The only door to the DOM: elements are made with `h`, text is always text. Nothing in this
 * client parses HTML from a string, and nothing sets a style attribute (the CSP forbids both).
 */

const SVG = 'http://www.w3.org/2000/svg';

/** An element: `h('button', { class: 'quiet', onclick: leave }, 'Leave')`. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element, likewise. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Text that changes: writes only what differs, so that a screen reader is not woken in vain. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Keep a list of elements in step with rows: made once for each key, updated in place, moved
 * only when out of order. Focus and scroll survive.
 */
export function keyed(parent, rows, { key = (row) => row.id, create }) {
  const known = (parent.keyedRows ??= new Map());
  const wanted = new Set(rows.map(key));
  for (const [id, item] of known) {
    if (wanted.has(id)) continue;
    item.element.remove();
    known.delete(id);
  }
  let place = parent.firstElementChild;
  for (const row of rows) {
    const id = key(row);
    if (!known.has(id)) known.set(id, create(row));
    const { element, update } = known.get(id);
    update?.(row);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
}
