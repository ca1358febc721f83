// One function: what it is doing, what can be done with it, and its parts behind tabs.

import { call, part } from './api.js';
import { button, copier, errors } from './action.js';
import { h, mark, put } from './dom.js';
import { count, image, ms } from './format.js';
import { instances } from './instances.js';
import { invoker } from './invoke.js';
import { functions } from './lists.js';
import { logs } from './logs.js';
import { revisions } from './revisions.js';
import { go, missing, to } from './router.js';
import { settings } from './settings.js';
import { status } from './status.js';
import { facts } from './table.js';
import { tabs } from './tabs.js';

const TABS = [
  ['invoke', 'Invoke', invoker],
  ['logs', 'Logs', ({ name }) => logs(`/logs/${part(name)}`, `Log of ${name}`)],
  ['instances', 'Instances', instances],
  ['settings', 'Settings', settings],
  ['revisions', 'Revisions', revisions],
];

const FACTS = [
  ['Image', (row) => image(row.image)],
  ['Revision', (row) => (row.serving === row.revision ? row.revision : `${row.serving} (${row.revision} is coming)`)],
  ['Instances', (row) => (row.mode === 'job' ? 'a job: none' : `${row.instances.length} of ${row.max}`)],
  ['In flight', (row) => count(row.in_flight)],
  ['Calls', (row) => count(row.calls)],
  ['Failed', (row) => count(row.failures)],
  ['Median', (row) => ms(row.p50_ms)],
];

export function functionPage({ name, tab = 'invoke' }) {
  const path = `/functions/${part(name)}`;
  const slot = errors();
  const state = status();
  const trouble = h('div', { class: 'problem', hidden: true });
  const about = facts(FACTS);
  const address = () => `${location.origin}/invoke/${part(name)}`;
  const expect = (change) => () => functions.expect(name, change);
  const stopped = () => functions.get(name)?.status === 'stopped';

  const start = button('Start', { slot, expect: expect({ status: 'starting' }), run: () => call('POST', `/start/${part(name)}`).then(() => null), done: `${name} is started` });
  const stop = button('Stop', { slot, expect: expect({ status: 'stopped' }), run: () => call('POST', `/stop/${part(name)}`).then(() => null), done: `${name} is stopped`,
    confirm: `Stop ${name}? Its calls are refused until it is started again.`, go: 'Stop' });
  const again = button('Redeploy', { slot, title: 'The same image and settings once more, as a tag may have moved', run: () => call('POST', `${path}/redeploy`), done: `${name} is being deployed again` });
  const remove = button('Delete', { slot, kind: 'danger', expect: expect(null), run: async () => {
    await call('DELETE', path);
    go(to('functions'));
  }, done: `${name} is deleted`, confirm: `Delete ${name}, with its revisions? This cannot be undone.`, go: 'Delete' });

  const sections = tabs(TABS.map(([key, label, make]) => ({ key, label, href: to('functions', name, key), make: () => make({ name, path }) })), tab);
  const acts = h('div', { class: 'row wrap acts' }, start, stop, again, h('a', { class: 'button', href: to('deploy', name) }, 'New version'), remove);
  const whole = h('div', {}, h('div', { class: 'row' }, h('code', { class: 'clip' }, address()), copier(address, 'Address')), slot.el, trouble, about.el, sections.el);
  const gone = missing('function', name, whole, acts);

  function draw() {
    const row = functions.get(name);
    gone.update(row, functions);
    if (!row) return;
    state.update(row.status);
    [start.hidden, stop.hidden] = [!stopped(), stopped()];
    about.update(row);
    trouble.hidden = !row.last_error;
    if (row.last_error) put(trouble, h('strong', {}, row.status === 'failing' ? 'It does not start: ' : 'The last failure: '), h('span', {}, row.last_error));
    mark(trouble, 'class', row.status === 'failing' ? 'problem' : 'problem mild');
  }
  const stops = [functions.listen(draw), sections.stop];
  draw();
  return { title: name, beside: [state.el, acts], el: h('div', {}, gone.el, whole), stop: stops };
}
