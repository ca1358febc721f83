// All pipelines, and a place to submit one.

import { call } from './api.js';
import { area, errors, field, primary, sends } from './action.js';
import { h } from './dom.js';
import { moment } from './format.js';
import { pipelines } from './lists.js';
import { go, to } from './router.js';
import { link, state, table, text } from './table.js';

const EXAMPLE = { name: 'example', modules: [{ name: 'build', function: 'hello' }, { name: 'check', function: 'hello', dependsOn: ['build'] }, { name: 'test', function: 'hello', dependsOn: ['build'] }, { name: 'report', function: 'hello', dependsOn: ['check', 'test'], condition: 'always' }] };

const counts = (row) => Object.entries(row.counts).filter(([, n]) => n).map(([state, n]) => `${n} ${state}`).join(', ');

const COLUMNS = [
  { name: 'Pipeline', cell: link((row) => to('pipelines', row.id), (row) => row.name || row.id) },
  { name: 'Status', cell: state((row) => row.status) },
  { name: 'Modules', class: 'wide', cell: text(counts, 'clip') },
  { name: 'Runs', class: 'number', cell: text((row) => row.runs) },
  { name: 'Submitted', class: 'number wide', cell: text((row) => moment(row.submitted_at)) },
];

function submitForm() {
  const slot = errors();
  const document_ = area(12, { required: true, value: JSON.stringify(EXAMPLE, null, 2) });
  const run = primary('Run');
  const submit = sends(run, slot, async () => {
    let json;
    try {
      json = JSON.parse(document_.value);
    } catch (error) {
      throw new Error(`The document is no JSON: ${error.message}`);
    }
    go(to('pipelines', (await call('POST', '/api/pipelines', { json })).id));
  });
  return h('details', { class: 'card' }, h('summary', {}, 'Run a pipeline'), h('form', { onsubmit: submit },
    field('Document', document_, 'Modules, each a call of a function or an image, and what they depend on.'), slot.el, run));
}

export function pipelinesPage() {
  const part = table({
    list: pipelines,
    what: 'pipeline',
    columns: COLUMNS,
    words: (row) => `${row.name ?? ''} ${row.id} ${row.status}`,
    sort: (a, b) => b.submitted_at.localeCompare(a.submitted_at),
    empty: h('p', {}, 'No pipeline was run yet.'),
  });
  return { title: 'Pipelines', el: h('div', {}, submitForm(), part.el), stop: part.stop };
}
