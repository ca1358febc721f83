// The cluster at a glance: nodes, functions, calls, and what happened.

import { get } from './api.js';
import { copier, errors } from './action.js';
import { h, keyed, mark, put, say } from './dom.js';
import { eventList } from './events.js';
import { bytes, count, image, ms, plural } from './format.js';
import { loadOf, rates, SAMPLES, watch } from './history.js';
import { functions, nodes } from './lists.js';
import { meter, spark } from './meter.js';
import { stateOf } from './nodes.js';
import { to } from './router.js';
import { status } from './status.js';

/** As many as are looked at; all are one step away. */
const NODES = 12;
const FUNCTIONS = 12;

function tile(name, href) {
  const [value, about] = [h('strong', {}), h('span', { class: 'note' })];
  const el = h(href ? 'a' : 'div', { class: 'tile', href }, h('span', { class: 'name' }, name), value, about);
  return { el, value, update: (text, note) => (say(value, text), say(about, note)) };
}

function nodeCard(first) {
  const [state, cpu, memory, slots] = [status(), meter('CPU'), meter('Memory'), meter('Slots')];
  const line = spark(`CPU of ${first.name} in the last two minutes`, SAMPLES);
  const name = h('a', { href: to('nodes', first.id) }, first.name);
  const note = h('span', { class: 'note' });
  const el = h('li', { class: 'card node' }, h('div', { class: 'row spread' }, name, state.el), line.el, cpu.el, memory.el, slots.el, note);
  return {
    el,
    sample: () => line.update(loadOf(first.id), 100),
    update(node) {
      state.update(stateOf(node));
      mark(el, 'data-state', node.status);
      cpu.update(node.cpu_percent);
      memory.update(node.memory_percent);
      slots.update((100 * node.running) / Math.max(1, node.slots), `${node.running} of ${node.slots}`);
      const has = [node.engines.join(', ') || 'no engine', node.cpus && plural(node.cpus, 'core'), node.memory_bytes && bytes(node.memory_bytes)];
      say(note, node.os || node.status !== 'disconnected' ? has.filter(Boolean).join(' · ') : 'Not here since the orchestrator started.');
    },
  };
}

function functionRow(first) {
  const [state, numbers] = [status(), h('span', { class: 'note' })];
  const from = h('span', { class: 'note clip' });
  const el = h('li', {}, h('a', { class: 'clip', title: first.name, href: to('functions', first.name) }, first.name), state.el, from, numbers);
  return {
    el,
    update(row) {
      state.update(row.status);
      say(from, image(row.image));
      say(numbers, `${plural(row.calls, 'call')}${row.failures ? ` (${count(row.failures)} failed)` : ''} · ${ms(row.p50_ms)}`);
    },
  };
}

const busiest = (a, b) => b.in_flight - a.in_flight || b.calls - a.calls || a.name.localeCompare(b.name);

export function overview() {
  const tiles = { nodes: tile('Nodes', to('nodes')), functions: tile('Functions', to('functions')), now: tile('In flight'), calls: tile('Calls'), failures: tile('Failed') };
  const rate = spark('Calls a second in the last two minutes', SAMPLES);
  tiles.calls.el.append(rate.el);
  const cards = h('ul', { class: 'cards', 'aria-label': 'Nodes' });
  const rows = h('ul', { class: 'lines', 'aria-label': 'Functions' });
  const [moreNodes, moreFunctions] = [h('p', { class: 'note' }), h('p', { class: 'note' })];
  const join = h('div', {});
  const happened = eventList({ most: 40 });
  const slot = errors();

  function drawNodes() {
    const all = nodes.all().sort((a, b) => (a.status === 'disconnected') - (b.status === 'disconnected') || a.name.localeCompare(b.name, 'en', { numeric: true }));
    const active = all.filter((node) => node.status === 'active').length;
    tiles.nodes.update(nodes.state === 'waiting' ? '–' : `${active}`, all.length > active ? `of ${all.length}` : active ? 'all active' : 'none yet');
    keyed(cards, all.slice(0, NODES), (node) => node.id, nodeCard);
    put(moreNodes, all.length > NODES && h('a', { href: to('nodes') }, `All ${all.length} nodes`));
    moreNodes.hidden = all.length <= NODES;
    if (nodes.state !== 'waiting' && all.length === 0) say(moreNodes, 'No machine has joined yet: run the command below on one.');
    if (all.length === 0) moreNodes.hidden = false;
  }

  function drawFunctions() {
    if (functions.trouble) slot.show(functions.trouble);
    else slot.clear();
    const all = functions.all();
    const sum = (of) => all.reduce((total, row) => total + of(row), 0);
    const running = all.filter((row) => row.status === 'running').length;
    const failing = all.filter((row) => row.status === 'failing').length;
    const failures = sum((row) => row.failures);
    tiles.functions.update(functions.state === 'waiting' ? '–' : count(all.length), `${running} running${failing ? `, ${failing} failing` : ''}`);
    tiles.now.update(count(sum((row) => row.in_flight)), 'calls running or waiting');
    tiles.calls.update(count(sum((row) => row.calls)), `${count(rates.at(-1) ?? 0)} a second`);
    tiles.failures.update(count(failures), 'since it started');
    mark(tiles.failures.el, 'class', failures ? 'tile bad' : 'tile');
    keyed(rows, all.sort(busiest).slice(0, FUNCTIONS), (row) => row.name, functionRow);
    const more = all.length > FUNCTIONS && h('a', { href: to('functions') }, `All ${count(all.length)} functions`);
    const none = functions.state !== 'waiting' && all.length === 0 && h('a', { href: to('deploy') }, 'Deploy the first function');
    put(moreFunctions, more || none);
  }

  get('/cluster').then((cluster) => {
    put(join, h('h2', {}, 'Add a machine'), h('p', { class: 'note' }, 'Run this there; from another machine it needs a join token, which Tokens makes.'),
      h('div', { class: 'row' }, h('code', { class: 'grow clip' }, cluster.join_command), copier(() => cluster.join_command, 'Command')));
  }, () => {});

  const stop = [nodes.listen(drawNodes), functions.listen(drawFunctions), happened.stop, watch(() => {
    rate.update(rates);
    for (const card of cards.parts?.values() ?? []) card.sample();
  })];
  drawNodes();
  drawFunctions();
  const el = h('div', {}, slot.el, h('div', { class: 'tiles' }, Object.values(tiles).map((one) => one.el)),
    h('section', {}, h('h2', {}, 'Nodes'), cards, moreNodes),
    h('div', { class: 'halves' }, h('section', { class: 'card' }, h('div', { class: 'row spread' }, h('h2', {}, 'Functions'), h('a', { class: 'button', href: to('deploy') }, 'Deploy')), rows, moreFunctions),
      h('section', { class: 'card' }, h('h2', {}, 'Events'), happened.el)),
    h('section', { class: 'card' }, join));
  return { title: 'Overview', el, stop };
}
