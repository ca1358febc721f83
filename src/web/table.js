// A list as a table, filtered and in pages; only what changed is drawn.

import { fresh, h, keyed, mark, put, say } from './dom.js';
import { errors } from './action.js';
import { plural } from './format.js';
import { status } from './status.js';

const ROWS = 50;

function framed(what, columns, body) {
  const head = columns.map(({ name, class: kind }) => h(name ? 'th' : 'td', { scope: name && 'col', class: kind }, name));
  const all = h('table', {}, h('caption', { class: 'unseen' }, what), h('thead', {}, h('tr', {}, head)), body);
  return h('div', { class: 'scroll', role: 'region', tabindex: 0, 'aria-label': what }, all);
}

/** The first cell names its row; on a phone each of the others says what it is. */
const rowOf = (columns, cells) => h('tr', {}, columns.map(({ name, class: kind }, at) => h(at ? 'td' : 'th', { class: kind, scope: at ? null : 'row', 'data-name': name }, cells[at])));

/** Drawn whole: `columns` are `[name, class?]`, `make(row)` answers `{cells, update(row)}`. Answers `{el, body, draw(rows)}`. */
export function grid(what, columns, keyOf, make) {
  const named = columns.map(([name, kind]) => ({ name, class: kind }));
  const body = h('tbody', {});
  const el = framed(what, named, body);
  const made = (row) => {
    const { cells, update } = make(row);
    return { el: rowOf(named, cells), update };
  };
  return { el, body, draw: (rows) => {
    keyed(body, rows, keyOf, made);
    el.hidden = rows.length === 0;
  } };
}

/**
 * `columns`: `[{name, class?, cell(row) -> {el, update(row)}}]`. `list`: a List. `words(row)`: what the filter looks into.
 * Answers `{el, stop()}`.
 */
export function table({ list, what, columns, words, sort, empty, aside }) {
  let page = 0;
  const find = h('input', { type: 'search', placeholder: `Find ${what}s`, 'aria-label': `Find ${what}s`, oninput: () => ((page = 0), draw()) });
  const shown = h('p', { class: 'note', role: 'status' });
  const slot = errors();
  const body = h('tbody', {});
  const none = h('div', { class: 'empty', hidden: true });
  const back = h('button', { type: 'button', onclick: () => turn(-1) }, 'Back');
  const on = h('button', { type: 'button', onclick: () => turn(1) }, 'Next');
  const place = h('span', { class: 'note' });
  const pager = h('nav', { class: 'row', 'aria-label': `Pages of ${what}s`, hidden: true }, back, place, on);
  const frame = framed(`${what}s`, columns, body);
  const el = h('div', {}, h('div', { class: 'row spread' }, find, aside), slot.el, shown, frame, none, pager);

  function turn(by) {
    page += by;
    draw();
    frame.scrollIntoView({ block: 'nearest' });
  }

  function make(row) {
    const cells = columns.map((column) => column.cell(row));
    return { el: rowOf(columns, cells.map((cell) => cell.el)), update: (next) => cells.forEach((cell) => cell.update?.(next)) };
  }

  function draw() {
    if (list.trouble) slot.show(list.trouble);
    else slot.clear();
    const asked = find.value.trim().toLowerCase();
    const rows = list.all().filter((row) => !asked || words(row).toLowerCase().includes(asked)).sort(sort);
    const pages = Math.max(1, Math.ceil(rows.length / ROWS));
    page = Math.max(0, Math.min(page, pages - 1));
    keyed(body, rows.slice(page * ROWS, (page + 1) * ROWS), list.keyOf, make);
    const waiting = list.state === 'waiting';
    say(shown, waiting ? 'Loading …' : asked ? `${plural(rows.length, what)} of ${list.all().length}` : '');
    mark(frame, 'hidden', rows.length === 0 ? '' : null);
    none.hidden = waiting || rows.length > 0 || !slot.el.hidden;
    if (!none.hidden) put(none, asked ? h('p', {}, `Nothing here has “${find.value.trim()}” in it.`) : empty);
    pager.hidden = pages < 2;
    say(place, `${page * ROWS + 1} to ${Math.min(rows.length, (page + 1) * ROWS)} of ${rows.length}`);
    [back.disabled, on.disabled] = [page === 0, page === pages - 1];
  }
  const stop = list.listen(draw);
  draw();
  return { el, stop };
}

/** Numbers and words with their names: `[[name, of(row)]]`. Answers `{el, update(row)}`. */
export function facts(all) {
  const parts = all.map(([name, of]) => ({ name, of, value: h('dd', {}) }));
  const el = h('dl', { class: 'facts' }, parts.map(({ name, value }) => h('div', {}, h('dt', {}, name), value)));
  return { el, update: (row) => parts.forEach(({ of, value }) => say(value, of(row))) };
}

/** A cell of plain text. */
export const text = (of, className) => () => {
  const el = h('span', { class: className });
  return { el, update: (row) => say(el, of(row)) };
};

/** A cell of a state. */
export const state = (of) => () => {
  const part = status();
  return { el: part.el, update: (row) => part.update(of(row)) };
};

/** A cell that leads on. */
export const link = (to, of) => (row) => {
  const el = h('a', { id: fresh('row'), href: to(row) });
  return { el, update: (next) => say(el, of(next)) };
};
