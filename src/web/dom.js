// Makes elements and changes them. What is shown goes through text nodes: no name, log or answer is ever HTML.

const SVG = 'http://www.w3.org/2000/svg';
const OWN = new Set(['value', 'checked', 'disabled', 'hidden', 'selected', 'open', 'indeterminate']);

function fill(el, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
    else if (name === 'style') Object.entries(value).forEach(([key, one]) => el.style.setProperty(key, one));
    else if (OWN.has(name)) el[name] = value;
    else el.setAttribute(name, value === true ? '' : value);
  }
  el.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return el;
}

/** An HTML element: `h('p', {class: 'note'}, 'text', otherElement)`. */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);

/** The same of SVG. */
export const s = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

/** Text that is set only when it changes: nothing is drawn or read out for nothing. */
export function say(el, text) {
  const next = String(text ?? '');
  if (el.textContent !== next) el.textContent = next;
}

/** An attribute; false and null remove it. */
export function mark(el, name, value) {
  if (value === false || value === null || value === undefined) el.removeAttribute(name);
  else if (el.getAttribute(name) !== String(value)) el.setAttribute(name, value);
}

/** Puts other children in, unless they are there already. */
export function put(el, ...children) {
  const next = children.flat(Infinity).filter(Boolean);
  if (next.length !== el.childNodes.length || next.some((child, at) => child !== el.childNodes[at])) el.replaceChildren(...next);
}

/**
 * Holds children to rows: makes, moves, removes, and updates those whose row is another object than before.
 * `make(row)` answers `{el, update(row)}`.
 */
export function keyed(parent, rows, keyOf, make) {
  const known = (parent.parts ??= new Map());
  const left = new Set(known.keys());
  let at = parent.firstChild;
  for (const row of rows) {
    const key = keyOf(row);
    left.delete(key);
    let part = known.get(key);
    if (!part) known.set(key, (part = make(row)));
    if (part.row !== row) {
      part.row = row;
      part.update?.(row);
    }
    if (part.el === at) at = at.nextSibling;
    else parent.insertBefore(part.el, at);
  }
  for (const key of left) {
    known.get(key).el.remove();
    known.delete(key);
  }
}

/** Ends what goes on: one function, many, or none. */
export const end = (stop) => [stop ?? []].flat().forEach((one) => one());

let ids = 0;
/** An id that no other element has. */
export const fresh = (what) => `${what}-${(ids += 1)}`;

/** Resolves after so long, or as soon as the signal says stop. */
export const pause = (ms, signal) =>
  new Promise((done) => {
    if (signal?.aborted) return done();
    const timer = setTimeout(over, ms);
    function over() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', over);
      done();
    }
    signal?.addEventListener('abort', over);
  });
