// A pipeline as a drawing that lights up as its modules run; each box is reached by keyboard.

import { h, mark, put, s, say } from './dom.js';
import { ms } from './format.js';
import { BOX, layout } from './layout.js';
import { tone } from './status.js';

const LONG = 20;
const short = (name) => (name.length > LONG ? `${name.slice(0, LONG - 1)}…` : name);

/** How long it ran or has been running, in words. */
export function took({ state, started_at: from, ended_at: to }) {
  if (!from || ['pending', 'ready', 'skipped'].includes(state)) return '';
  return ms(Math.max(0, (to ? new Date(to) : Date.now()) - new Date(from)));
}

function curve(from, to, at) {
  const [x1, y1, x2, y2] = [from.x + BOX.width, from.y + BOX.height / 2, to.x, to.y + BOX.height / 2];
  const bend = (x2 - x1) / 2;
  return `${at ? 'L' : 'M'}${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
}

/** `{el, update(modules)}`; `chosen(name)` when a box is pressed. */
export function graph(chosen) {
  const edges = s('g', {});
  const boxes = s('g', {});
  const svg = s('svg', { role: 'group', 'aria-label': 'Modules and what they depend on' }, edges, boxes);
  const el = h('div', { class: 'graph', role: 'region', tabindex: 0, 'aria-label': 'Graph of the pipeline' }, svg);
  let drawn = '';
  let parts = new Map();
  let lines = [];

  function box(one, { x, y }) {
    const about = s('text', { class: 'small', x: 14, y: 40 });
    const group = s('g', { 'data-name': one.name, 'aria-description': one.dependsOn.length ? `after ${one.dependsOn.join(', ')}` : null, transform: `translate(${x} ${y})`, tabindex: 0, role: 'button', onclick: () => chosen(one.name), onkeydown: (event) => ['Enter', ' '].includes(event.key) && (event.preventDefault(), chosen(one.name)) },
      s('rect', { class: 'box', width: BOX.width, height: BOX.height, rx: 9 }), s('text', { x: 14, y: 22 }, `${short(one.name)} `), about);
    return { group, about };
  }

  function draw(modules) {
    const { places, lines: routes, width, height } = layout(modules);
    for (const [name, value] of [['width', width], ['height', height], ['viewBox', `0 0 ${width} ${height}`]]) mark(svg, name, value);
    parts = new Map(modules.map((one) => [one.name, box(one, places.get(one.name))]));
    lines = routes.map(({ from, to, route }) => ({ from, to, path: s('path', { d: route.slice(1).map((next, at) => curve(route[at], next, at)).join('') }) }));
    put(edges, lines.map((line) => line.path));
    put(boxes, [...parts.values()].map((part) => part.group));
  }

  function update(modules) {
    const shape = JSON.stringify(modules.map((one) => [one.name, one.dependsOn]));
    if (shape !== drawn) draw(modules);
    drawn = shape;
    const states = new Map(modules.map((one) => [one.name, one.state]));
    for (const one of modules) {
      const { group, about } = parts.get(one.name);
      const says = [one.state, took(one)].filter(Boolean).join(' · ');
      say(about, says);
      mark(group, 'class', `${tone(one.state)}${one.state === 'running' ? ' pulses busy' : ''}`.replace('good pulses busy', 'pulses busy'));
      mark(group, 'data-state', one.state);
    }
    for (const { from, to, path } of lines) {
      const [before, after] = [states.get(from), states.get(to)];
      mark(path, 'class', `edge${after === 'running' ? ' flows' : before === 'succeeded' && after === 'succeeded' ? ' lit' : ''}`);
    }
  }
  return { el, update };
}
