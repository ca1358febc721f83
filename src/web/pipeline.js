// One pipeline: its graph, its modules, cancelling and retrying.

import { ask, call, get, part } from './api.js';
import { answerView } from './answer.js';
import { busy, button, errors } from './action.js';
import { h, mark, put, say } from './dom.js';
import { moment, plural } from './format.js';
import { graph, took } from './graph.js';
import { List } from './live.js';
import { nodes } from './lists.js';
import { called, missing } from './router.js';
import { status } from './status.js';
import { grid } from './table.js';

const EVERY_MS = 1_000;

export function pipelinePage({ id }) {
  const path = `/api/pipelines/${part(id)}`;
  const list = one(path);
  const slot = errors();
  const state = status();
  const about = h('p', { class: 'note' });
  const result = h('section', { hidden: true, 'aria-live': 'polite' });
  const run = (verb, change) => ({ slot, expect: () => list.expect(id, change), run: () => call('POST', `${path}/${verb}`).then(() => null) });
  const cancel = button('Cancel', { ...run('cancel', { status: 'cancelled' }), kind: 'danger', confirm: 'Cancel this pipeline? What runs is ended.', go: 'Cancel it', done: 'The pipeline is cancelled' });
  const retry = button('Retry', { ...run('retry', { status: 'running' }), title: 'What did not succeed, and all that depends on it', done: 'The pipeline runs again' });

  function make(first) {
    const [sign, time, node, trouble] = [status(), h('span', {}), h('span', {}), h('span', {})];
    const look = h('button', { type: 'button', 'aria-label': `Result of ${first.name}`, onclick: () => busy(look, slot, () => show(first.name)) }, h('span', {}, 'Result'));
    return {
      cells: [first.name, sign.el, first.function, node, time, trouble, look],
      update(row) {
        sign.update(row.state);
        say(time, took(row) || '–');
        say(node, row.on);
        say(trouble, [row.attempts > 1 && plural(row.attempts, 'attempt'), row.interruptions > 0 && `${row.interruptions} interrupted`, row.error].filter(Boolean).join(', '));
        look.hidden = !row.result;
      },
    };
  }

  async function show(name) {
    const began = performance.now();
    const answer = await ask('GET', `${path}/modules/${part(name)}/result`);
    result.hidden = false;
    put(result, h('h2', {}, `Result of ${name}`), h('div', { class: 'answer' }, await answerView(answer, began)));
    result.scrollIntoView({ block: 'nearest' });
  }

  const picture = graph((name) => {
    const row = table.body.parts?.get(name)?.el;
    mark(row, 'tabindex', -1);
    row.scrollIntoView({ block: 'center' });
    row.focus();
  });

  function draw() {
    const row = list.get(id);
    if (list.trouble) gone.update(row, list);
    if (list.trouble?.status === 404) list.stop();
    if (!row) return;
    gone.update(row, list);
    state.update(row.status);
    called(row.name ?? row.id);
    say(about, `Submitted ${moment(row.submitted_at)}${row.runs > 1 ? ` · run ${row.runs}` : ''}`);
    [cancel.hidden, retry.hidden] = [row.status !== 'running', row.status === 'running' || row.status === 'succeeded'];
    picture.update(row.modules);
    table.draw(row.modules.map((module) => ({ ...module, on: nodes.get(module.node)?.name ?? module.node ?? '–' })));
  }
  const table = grid('Modules', [['Module'], ['State'], ['Function'], ['Node'], ['Took', 'number'], ['What happened', 'wide'], ['', 'number']], (module) => module.name, make);
  const acts = h('div', { class: 'row acts' }, cancel, retry);
  const whole = h('div', {}, about, slot.el, picture.el, table.el, result);
  const gone = missing('pipeline', id, whole, acts);
  // What runs goes on between two changes.
  const timer = setInterval(() => {
    const row = list.get(id);
    if (row?.status !== 'running' || document.hidden) return;
    draw();
  }, EVERY_MS);
  const stop = [list.listen(draw), nodes.listen(draw), () => clearInterval(timer), () => list.stop()];
  return { title: 'Pipeline', beside: [state.el, acts], el: h('div', {}, gone.el, whole), stop };
}

/** The watch of one pipeline, as a list of it alone. */
const one = (path) => new List(path, (row) => row.id, async (options) => [await get(path, options)]);
