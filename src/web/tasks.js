// All tasks, and a form to run one.

import { call } from './api.js';
import { area, errors, field, line, NAME, primary, sends } from './action.js';
import { h } from './dom.js';
import { image, moment } from './format.js';
import { tasks } from './lists.js';
import { go, to } from './router.js';
import { mapOf } from './spec.js';
import { link, state, table, text } from './table.js';
import { told } from './told.js';

const COLUMNS = [
  { name: 'Name', cell: link((row) => to('tasks', row.id), (row) => row.name || row.id) },
  { name: 'State', cell: state((row) => (row.health === 'unhealthy' ? 'unhealthy' : row.state)) },
  { name: 'Image', class: 'wide more', cell: text((row) => image(row.image), 'clip') },
  { name: 'Node', cell: text((row) => row.node_name ?? 'none yet') },
  { name: 'Restarts', class: 'number', cell: text((row) => row.restarts) },
  { name: 'Exit', class: 'number', cell: text((row) => row.exit_code ?? '–') },
  { name: 'Made', class: 'number wide', cell: text((row) => moment(row.created_at)) },
];

/** Words of a command line: blanks part them, unless they stand in quotes. */
const wordsOf = (text) => [...text.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((found) => found[1] ?? found[2] ?? found[3]);

function runForm() {
  const slot = errors();
  const image_ = line({ required: true });
  const name = line(NAME);
  const command = line();
  const policy = h('select', {}, ['never', 'on-failure', 'always'].map((one) => h('option', {}, one)));
  const ports = line({ placeholder: '80, 9000' });
  const env = area(3);
  const run = primary('Run');
  const submit = sends(run, slot, async () => {
    const json = { image: image_.value.trim(), command: wordsOf(command.value), env: mapOf(env.value, 'Environment'), restart_policy: policy.value };
    if (name.value) json.name = name.value;
    json.ports = ports.value.split(',').filter((one) => one.trim()).map((one) => ({ container: Number(one) }));
    const made = await call('POST', '/api/v1/manager/tasks', { json });
    told(`${made.name} is scheduled`);
    go(to('tasks', made.id));
  });
  const form = h('form', { onsubmit: submit }, h('div', { class: 'grid' },
    field('Image', image_, 'Or bundle:DIGEST.'), field('Name', name), field('Command', command, 'Replaces the image’s own.'), field('Restart', policy),
    field('Ports', ports, 'That the task listens on; its node gives each a free one.'), field('Environment', env, 'NAME=value, one a line.')), slot.el, run);
  return h('details', { class: 'card' }, h('summary', {}, 'Run a task'), form);
}

export function tasksPage() {
  const part = table({
    list: tasks,
    what: 'task',
    columns: COLUMNS,
    words: (row) => `${row.name} ${row.id} ${row.image} ${row.state} ${row.node_name ?? ''}`,
    sort: (a, b) => b.created_at.localeCompare(a.created_at),
    empty: h('p', {}, 'No task was run yet. A task is a program that runs once, or until it is stopped.'),
  });
  return { title: 'Tasks', el: h('div', {}, runForm(), part.el), stop: part.stop };
}
