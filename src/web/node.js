// One node: what it is and has, what runs there, and taking it out of service.

import { call, part } from './api.js';
import { button, errors } from './action.js';
import { h, keyed, say } from './dom.js';
import { eventList } from './events.js';
import { bytes, moment, plural } from './format.js';
import { loadOf, SAMPLES, watch } from './history.js';
import { functions, nodes } from './lists.js';
import { meter, spark } from './meter.js';
import { stateOf } from './nodes.js';
import { called, go, missing, to } from './router.js';
import { status } from './status.js';
import { facts } from './table.js';

/** For one that has not been here since the orchestrator started. */
const or = (value) => value || 'unknown';
const FACTS = [
  ['Address', (node) => or(node.address || node.hostname)],
  ['System', (node) => or(node.os && `${node.os}, ${node.arch}`)],
  ['Cores', (node) => or(node.cpus)],
  ['Memory', (node) => or(node.memory_bytes && bytes(node.memory_bytes))],
  ['Engines', (node) => or(node.engines.join(', ') || (node.os && 'none'))],
  ['Tags', (node) => Object.entries(node.tags).map((pair) => pair.join('=')).join(', ') || 'none'],
  ['Version', (node) => or(node.version)],
  ['Calls', (node) => `${node.succeeded} done, ${node.failed} failed`],
  ['Seen', (node) => moment(node.last_seen)],
  ['Reached by', (node) => node.reach],
];

function instanceRow(first) {
  const state = status();
  return { el: h('li', {}, h('a', { href: to('functions', first.of, 'instances') }, first.of), state.el, h('span', { class: 'note clip' }, first.id), h('span', { class: 'note' }, `revision ${first.revision}`)), update: (row) => state.update(row.status) };
}

export function nodePage({ id }) {
  const path = `/nodes/${part(id)}`;
  const slot = errors();
  const state = status();
  const node = () => nodes.get(id);
  const name = () => node()?.name ?? id;
  const act = (label, verb, change, more) => button(label, { slot, expect: () => nodes.expect(id, change), run: () => call('POST', `${path}/${verb}`), ...more });
  const cordon = act('Cordon', 'cordon', { cordoned: true }, { title: 'It gets nothing new; what runs goes on', done: () => `${name()} gets nothing new` });
  const open = act('Uncordon', 'uncordon', { cordoned: false, status: 'active' }, { done: () => `${name()} takes work again` });
  const drain = act('Drain', 'drain', { cordoned: true, status: 'draining' }, { confirm: () => `Drain ${name()}? It finishes what it has, and gets nothing new.`, go: 'Drain', done: () => `${name()} is draining` });
  const remove = button('Remove', { slot, kind: 'danger', expect: () => nodes.expect(id, null), run: async () => {
    await call('DELETE', path);
    go(to('nodes'));
  }, confirm: () => `Remove ${name()}? It joins again when its worker is started.`, go: 'Remove', done: 'The node is removed' });
  const about = facts(FACTS);
  const [cpu, memory, slots] = [meter('CPU'), meter('Memory'), meter('Slots')];
  const line = spark('CPU in the last two minutes', SAMPLES);
  const trouble = h('p', { class: 'problem mild', hidden: true });
  const rows = h('ul', { class: 'lines', 'aria-label': 'Instances on this node' });
  const none = h('p', { class: 'note' });
  const happened = eventList({ wanted: (event) => event.node === id });
  const acts = h('div', { class: 'row acts' }, cordon, open, drain, remove);
  const whole = h('div', {}, slot.el, trouble,
    h('div', { class: 'halves' },
      h('section', { class: 'card node' }, h('h2', {}, 'Load'), line.el, cpu.el, memory.el, slots.el, about.el),
      h('section', { class: 'card' }, h('h2', {}, 'Instances'), rows, none)),
    h('section', { class: 'card' }, h('h2', {}, 'Events'), happened.el));
  const gone = missing('node', id, whole, acts);

  function draw() {
    const row = node();
    gone.update(row, nodes);
    if (!row) return;
    state.update(stateOf(row));
    if (whole.isConnected) called(row.name);
    const away = row.status === 'disconnected';
    [cordon.hidden, open.hidden] = [row.cordoned || row.status === 'draining' || away, !(row.cordoned || row.status === 'draining') || away];
    [drain.hidden, remove.hidden] = [row.status !== 'active', !away];
    about.update(row);
    cpu.update(row.cpu_percent);
    memory.update(row.memory_percent);
    slots.update((100 * row.running) / Math.max(1, row.slots), `${row.running} of ${row.slots}`);
    trouble.hidden = !row.engine_trouble;
    say(trouble, row.engine_trouble);
    const here = functions.all().flatMap((one) => one.instances.filter((instance) => instance.node === id).map((instance) => ({ ...instance, of: one.name })));
    keyed(rows, here.slice(0, 100), (instance) => instance.id, instanceRow);
    say(none, here.length > 100 ? `and ${plural(here.length - 100, 'more')}` : here.length ? '' : 'None runs here now.');
  }
  const stop = [nodes.listen(draw), functions.listen(draw), happened.stop, watch(() => line.update(loadOf(id), 100))];
  draw();
  return { title: node()?.name ?? 'Node', beside: [state.el, acts], el: h('div', {}, gone.el, whole), stop };
}
