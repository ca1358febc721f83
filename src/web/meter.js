// A bar that says how much of something is used, and a line of how it was.

import { h, mark, s, say } from './dom.js';
import { percent } from './format.js';

const WIDTH = 120;
const HEIGHT = 28;

/** `{el, update(percent, text?)}`; unknown is not zero. */
export function meter(label) {
  const fill = h('span', { class: 'fill' });
  const bar = h('span', { class: 'bar', role: 'meter', 'aria-label': label, 'aria-valuemin': 0, 'aria-valuemax': 100 }, fill);
  const value = h('span', { class: 'value' });
  const el = h('div', { class: 'meter' }, h('span', { class: 'name', 'aria-hidden': 'true' }, label), bar, value);
  return {
    el,
    update(used, text = percent(used)) {
      const known = used !== null && used !== undefined && Number.isFinite(used);
      const share = known ? Math.max(0, Math.min(100, used)) : 0;
      fill.style.setProperty('--share', share / 100);
      mark(bar, 'aria-valuenow', Math.round(share));
      mark(bar, 'aria-valuetext', text);
      mark(bar, 'class', `bar${share >= 90 ? ' high' : share >= 70 ? ' some' : ''}`);
      say(value, text);
    },
  };
}

/** `{el, update(values, most?)}`: newest last. */
export function spark(label, room = 60) {
  const line = s('polyline', { class: 'line' });
  const area = s('polygon', { class: 'area' });
  const el = s('svg', { class: 'spark', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label }, area, line);
  return {
    el,
    update(values, most = Math.max(1, ...values)) {
      const step = WIDTH / (room - 1);
      const from = WIDTH - (values.length - 1) * step;
      const y = (value) => (HEIGHT - 1.5 - (Math.min(value, most) / most) * (HEIGHT - 3)).toFixed(1);
      const points = values.map((value, at) => `${(from + at * step).toFixed(1)},${y(value)}`);
      mark(line, 'points', points.join(' '));
      mark(area, 'points', points.length ? `${from.toFixed(1)},${HEIGHT} ${points.join(' ')} ${WIDTH},${HEIGHT}` : '');
    },
  };
}
