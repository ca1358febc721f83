// A function's instances, and how many there may be.

import { call } from './api.js';
import { button, errors, field } from './action.js';
import { h, say } from './dom.js';
import { functions, nodes } from './lists.js';
import { to } from './router.js';
import { status } from './status.js';
import { grid } from './table.js';

const BOUNDS = [
  ['min', 'Always warm', 'Never stopped and never frozen.'],
  ['ready', 'Always there', 'Never stopped; they may be frozen.'],
  ['max', 'At most', 'Over all nodes.'],
];

function make(first) {
  const [state, calls, node] = [status(), h('span', {}), h('a', { href: to('nodes', first.node) })];
  return {
    cells: [first.id, state.el, node, first.revision, calls],
    update(row) {
      state.update(row.status);
      say(calls, row.in_flight);
      say(node, row.on);
    },
  };
}

export function instances({ name, path }) {
  const slot = errors();
  const inputs = BOUNDS.map(([key, label, hint]) => ({ key, el: h('input', { type: 'number', min: key === 'max' ? 1 : 0, max: 10_000, required: true }), label, hint }));
  const wanted = () => Object.fromEntries(inputs.map(({ key, el }) => [key, Number(el.value)]));
  let touched = false;
  const apply = button('Scale', { slot, kind: 'primary', expect: () => functions.expect(name, wanted()), run: async () => {
    const answer = await call('POST', `${path}/scale`, { json: wanted() });
    touched = false;
    return answer;
  }, done: `${name} is scaled` });
  const form = h('form', { class: 'card', oninput: () => (touched = true), onsubmit: (event) => (event.preventDefault(), apply.click()) },
    h('h3', {}, 'Scale'), h('div', { class: 'grid' }, inputs.map(({ el, label, hint }) => field(label, el, hint))), slot.el, apply);
  const table = grid('Instances', [['Instance'], ['Status'], ['Node'], ['Revision', 'number'], ['Calls now', 'number']], (one) => one.id, make);
  const note = h('p', { class: 'note' });

  function draw() {
    const row = functions.get(name);
    if (!row) return;
    form.hidden = row.mode === 'job';
    if (!touched) for (const { key, el } of inputs) if (document.activeElement !== el) el.value = row[key];
    table.draw(row.instances.map((one) => ({ ...one, on: nodes.get(one.node)?.name ?? one.node })));
    say(note, row.mode === 'job' ? 'A job has no instances: each call starts its own.' : row.instances.length ? '' : 'None is there: the next call starts one.');
  }
  const stop = [functions.listen(draw), nodes.listen(draw)];
  return { el: h('div', {}, note, table.el, form), stop };
}
