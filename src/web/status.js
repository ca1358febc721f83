// A state as a word, a sign and a colour; what works pulses.

import { h, mark, say } from './dom.js';

/** Sign, colour, and whether it pulses. */
const LOOKS = {
  running: ['●', 'good', true],
  active: ['●', 'good'],
  warm: ['●', 'good'],
  serving: ['●', 'good'],
  succeeded: ['✓', 'good'],
  completed: ['✓', 'good'],
  healthy: ['✓', 'good'],
  info: ['·', 'dim'],
  starting: ['◐', 'busy', true],
  scheduled: ['◐', 'busy', true],
  stopping: ['◐', 'busy', true],
  draining: ['◐', 'busy', true],
  queued: ['◔', 'busy'],
  ready: ['◔', 'busy', true],
  Pending: ['◔', 'busy'],
  pending: ['○', 'dim'],
  frozen: ['❄', 'cool'],
  idle: ['○', 'dim'],
  'no-image': ['▲', 'warn'],
  stopped: ['■', 'dim'],
  kept: ['○', 'dim'],
  skipped: ['–', 'dim'],
  cancelled: ['■', 'dim'],
  cordoned: ['▲', 'warn'],
  warn: ['▲', 'warn'],
  expired: ['▲', 'warn'],
  failing: ['✕', 'bad'],
  failed: ['✕', 'bad'],
  error: ['✕', 'bad'],
  unhealthy: ['✕', 'bad'],
  disconnected: ['✕', 'bad'],
};

/** The colour of a state. */
export const tone = (word) => LOOKS[word]?.[1] ?? 'dim';

/** `{el, update(word)}` */
export function status() {
  const sign = h('span', { class: 'sign', 'aria-hidden': 'true' });
  const name = h('span', {});
  const el = h('span', { class: 'status' }, sign, name);
  const update = (next) => {
    const word = String(next ?? '').toLowerCase();
    const [glyph, colour, pulses] = LOOKS[next] ?? LOOKS[word] ?? ['○', 'dim'];
    say(sign, glyph);
    say(name, word);
    mark(el, 'class', `status ${colour}${pulses ? ' pulses' : ''}`);
  };
  return { el, update };
}
