// All nodes, and how much of each is used.

import { get } from './api.js';
import { copier } from './action.js';
import { h, put } from './dom.js';
import { nodes } from './lists.js';
import { meter } from './meter.js';
import { to } from './router.js';
import { link, state, table, text } from './table.js';

/** A cordoned node is active, and yet gets nothing. */
export const stateOf = (node) => (node.cordoned && node.status === 'active' ? 'cordoned' : node.status);

const bar = (name, of, says) => ({ name, class: 'meters', cell: () => {
  const part = meter(name);
  return { el: part.el, update: (node) => part.update(of(node), says?.(node)) };
} });

const COLUMNS = [
  { name: 'Name', cell: link((node) => to('nodes', node.id), (node) => node.name) },
  { name: 'Status', cell: state(stateOf) },
  bar('CPU', (node) => node.cpu_percent),
  bar('Memory', (node) => node.memory_percent),
  bar('Slots', (node) => (100 * node.running) / Math.max(1, node.slots), (node) => `${node.running} of ${node.slots}`),
  { name: 'Engines', class: 'more', cell: text((node) => node.engines.join(', ') || 'none') },
  { name: 'Version', class: 'number more', cell: text((node) => node.version) },
];

export function nodesPage() {
  const join = h('p', {}, 'No machine has joined yet.');
  get('/cluster').then(({ join_command: command }) => put(join, 'No machine has joined yet. Run this on one: ', h('code', {}, command), ' ', copier(() => command, 'Command')), () => {});
  const part = table({
    list: nodes,
    what: 'node',
    columns: COLUMNS,
    words: (node) => `${node.name} ${node.id} ${stateOf(node)} ${node.hostname} ${node.engines.join(' ')} ${Object.entries(node.tags).map((pair) => pair.join('=')).join(' ')}`,
    sort: (a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }),
    empty: join,
    aside: h('a', { class: 'button', href: to('tokens') }, 'Add a machine'),
  });
  return { title: 'Nodes', el: part.el, stop: part.stop };
}
