// All functions, and what each is doing.

import { h, say } from './dom.js';
import { count, image, ms } from './format.js';
import { functions } from './lists.js';
import { to } from './router.js';
import { link, state, table, text } from './table.js';

/** Instances as a word: how many there are, of how many there may be. */
const instancesOf = (row) => (row.mode === 'job' ? 'job' : `${row.instances.length} of ${row.max}`);

const COLUMNS = [
  { name: 'Name', cell: link((row) => to('functions', row.name), (row) => row.name) },
  { name: 'Status', cell: state((row) => row.status) },
  { name: 'Image', class: 'wide more', cell: text((row) => image(row.image), 'clip') },
  { name: 'Instances', class: 'number', cell: text(instancesOf) },
  { name: 'In flight', class: 'number', cell: text((row) => count(row.in_flight)) },
  { name: 'Calls', class: 'number', cell: text((row) => count(row.calls)) },
  { name: 'Failed', class: 'number', cell: () => {
    const el = h('span', {});
    return { el, update: (row) => {
      say(el, count(row.failures));
      el.className = row.failures ? 'bad' : 'dim';
    } };
  } },
  { name: 'Median', class: 'number', cell: text((row) => ms(row.p50_ms)) },
];

export function functionsPage() {
  const part = table({
    list: functions,
    what: 'function',
    columns: COLUMNS,
    words: (row) => `${row.name} ${row.image} ${row.status} ${row.description ?? ''}`,
    sort: (a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }),
    empty: h('p', {}, 'No function is deployed yet. ', h('a', { href: to('deploy') }, 'Deploy one'), ' from a folder or an image.'),
    aside: h('a', { class: 'button primary', href: to('deploy') }, 'Deploy'),
  });
  return { title: 'Functions', el: part.el, stop: part.stop };
}
