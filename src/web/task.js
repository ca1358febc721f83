// One task: how far it is, what it prints, and stopping it.

import { call, get, part } from './api.js';
import { button, errors } from './action.js';
import { h, put } from './dom.js';
import { bytes, image, moment } from './format.js';
import { tasks } from './lists.js';
import { logs } from './logs.js';
import { called, go, missing, to } from './router.js';
import { status } from './status.js';
import { facts } from './table.js';

const ENDED = ['Completed', 'Failed', 'Stopped'];
const port = ({ container, host, protocol }) => `${host ?? '?'} → ${container}${protocol === 'udp' ? '/udp' : ''}`;
const pulled = (pull) => `${bytes(pull.bytes_done)} of ${pull.bytes ? bytes(pull.bytes) : '?'}, ${pull.layers_done} of ${pull.layers} layers`;
const FACTS = [
  ['Image', (row) => image(row.image) + (row.pull ? `, being pulled: ${pulled(row.pull)}` : '')],
  ['Command', (row) => row.command?.join(' ') || 'the image’s own'],
  ['Node', (row) => row.node_name ?? 'none yet'],
  ['Ports', (row) => row.ports?.map(port).join(', ') || 'none'],
  ['Restarts', (row) => row.restarts],
  ['Health', (row) => row.health ?? 'not checked'],
  ['Exit code', (row) => row.exit_code ?? '–'],
  ['Memory', (row) => (row.memory ? bytes(row.memory) : 'no limit')],
  ['Started', (row) => moment(row.started_at)],
  ['Ended', (row) => moment(row.ended_at)],
];

export function taskPage({ id }) {
  const path = `/api/v1/manager/tasks/${part(id)}`;
  const slot = errors();
  const state = status();
  const trouble = h('p', { class: 'problem mild', hidden: true });
  const about = facts(FACTS);
  let whole = {};
  let none = false;
  const stop = button('Stop', { slot, expect: () => tasks.expect(id, { state: 'Stopping' }), run: () => call('POST', `${path}/stop`).then(() => null), done: 'The task is told to end' });
  const start = button('Start again', { slot, expect: () => tasks.expect(id, { state: 'Pending' }), run: () => call('POST', `${path}/start`).then(() => null), done: 'The task is scheduled again' });
  const remove = button('Delete', { slot, kind: 'danger', confirm: 'Forget this task, and what it printed?', go: 'Delete', expect: () => tasks.expect(id, null), run: async () => {
    await call('DELETE', path);
    go(to('tasks'));
  }, done: 'The task is deleted' });
  const said = logs(`${path}/logs`, 'Log of the task');
  let seen = null;

  function draw() {
    const row = tasks.get(id);
    if (row && row !== seen) {
      seen = row;
      // The list has not all of it.
      get(path).then((all) => ((whole = all), show()), () => {});
    }
    show();
  }

  function show() {
    const row = { ...whole, pull: null, ...tasks.get(id) };
    if (none || row.id) gone.update(row.id && row, tasks);
    if (!row.id) return;
    state.update(row.state);
    if (el.isConnected) called(row.name || row.id);
    const ended = ENDED.includes(row.state);
    [stop.hidden, start.hidden, remove.hidden] = [ended, !ended, !ended];
    about.update(row);
    trouble.hidden = !row.reason;
    put(trouble, row.reason && `${row.reason}${row.last_lines ? `\n${row.last_lines}` : ''}`);
  }
  const acts = h('div', { class: 'row acts' }, stop, start, remove);
  const shown = h('div', {}, trouble, about.el, h('section', {}, h('h2', {}, 'Log'), said.el));
  const gone = missing('task', id, shown, acts);
  const el = h('div', {}, slot.el, gone.el, shown);
  get(path).then((all) => ((whole = all), show()), (error) => {
    if (error.status !== 404) return slot.show(error);
    none = true;
    said.stop();
    show();
  });
  const stops = [tasks.listen(draw), said.stop];
  return { title: tasks.get(id)?.name ?? 'Task', beside: [state.el, acts], el, stop: stops };
}
