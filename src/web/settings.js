// A function's settings in a form; saving them makes a new revision.

import { call } from './api.js';
import { area, busy, errors, field, line, primary } from './action.js';
import { h, mark, put } from './dom.js';
import { functions } from './lists.js';
import { mapOf, pairs, specOf, tidy } from './spec.js';
import { told } from './told.js';

const text = (attributes) => () => line(attributes);
const number = (min, step = 'any') => () => h('input', { type: 'number', min, step });

/** Name, label, control, hint. */
const FIELDS = [
  ['image', 'Image', text({ required: true }), 'A reference, or bundle:DIGEST.'],
  ['mode', 'Mode', () => h('select', {}, ['auto', 'http', 'job'].map((one) => h('option', {}, one))), 'http: kept warm; job: runs once for each call.'],
  ['description', 'Description', text({ maxlength: 1024 })],
  ['env', 'Environment', () => area(8), 'NAME=value, one a line. Everybody who may read sees it: passwords are secrets.'],
  ['timeout_s', 'Time limit, seconds', number(0)],
  ['memory_mb', 'Memory, MiB', number(1, 1), 'Empty: no limit of its own.'],
  ['cpu', 'Cores', number(0), 'Empty: no limit of its own.'],
  ['concurrency', 'Calls at once on one instance', number(1, 1)],
  ['freeze_s', 'Frozen after idle seconds', number(0)],
  ['idle_s', 'Stopped after idle seconds', number(0)],
  ['attempts', 'Attempts of asynchronous calls', number(1, 1)],
  ['schedule', 'Schedule', text({ placeholder: '*/5 * * * *' }), 'Minute, hour, day, month, weekday; or @hourly, @daily, …'],
  ['schedule_zone', 'Time zone', text({ placeholder: 'UTC' })],
];
const PLAIN = new Set(FIELDS.map(([key]) => key).concat('public'));

export function settings({ name, path }) {
  const slot = errors();
  const controls = Object.fromEntries(FIELDS.map(([key, , make]) => [key, make()]));
  const open = h('input', { type: 'checkbox' });
  const rest = area(8);
  const save = primary('Save and deploy');
  const reset = h('button', { type: 'button', onclick: () => fill() }, 'As it is');
  const newer = h('p', { class: 'note', role: 'status' });
  let shown = 0;
  let touched = false;

  function fill() {
    const row = functions.get(name);
    if (!row) return;
    const spec = specOf(row);
    [shown, touched] = [row.revision, false];
    for (const [key, el] of Object.entries(controls)) el.value = key === 'env' ? pairs(spec.env) : (spec[key] ?? '');
    open.checked = Boolean(spec.public);
    const others = Object.fromEntries(Object.entries(spec).filter(([key]) => !PLAIN.has(key)));
    rest.value = JSON.stringify(others, null, 2);
    put(newer);
    clear();
  }

  function clear() {
    slot.clear();
    for (const el of [...Object.values(controls), rest]) mark(el, 'aria-invalid', null);
  }

  function spec() {
    let all;
    try {
      all = JSON.parse(rest.value || '{}');
    } catch (error) {
      mark(rest, 'aria-invalid', 'true');
      throw new Error(`The other settings are no JSON: ${error.message}`);
    }
    for (const [key, el] of Object.entries(controls)) {
      if (key === 'env') all.env = mapOf(el.value, 'Environment');
      else if (el.value !== '') all[key] = el.type === 'number' ? Number(el.value) : el.value;
    }
    return tidy({ ...all, public: open.checked });
  }

  function submit(event) {
    event.preventDefault();
    clear();
    busy(save, slot, async () => {
      const expected = functions.expect(name, {});
      try {
        const row = await call('PUT', path, { json: spec() });
        told(`${name}: revision ${row.revision} takes over once it answers`);
        expected.done(row);
        fill();
      } catch (error) {
        expected.undo();
        const wrong = controls[error.field] ?? (error.field ? rest : null);
        if (wrong) mark(wrong, 'aria-invalid', 'true');
        wrong?.focus();
        throw error;
      }
    });
  }

  function draw() {
    const row = functions.get(name);
    if (!row) return;
    if (!shown || (row.revision !== shown && !touched)) fill();
    else if (row.revision !== shown) put(newer, `Revision ${row.revision} has been deployed meanwhile; saving replaces it.`);
  }
  const fields = FIELDS.map(([key, label, , hint]) => field(label, controls[key], hint));
  const env = fields.splice(FIELDS.findIndex(([key]) => key === 'env'), 1);
  const form = h('form', { onsubmit: submit, oninput: () => (touched = true) }, h('div', { class: 'grid' }, fields),
    h('label', { class: 'check' }, open, 'Public: anybody may call it, also without a token'),
    h('div', { class: 'halves' }, env, field('All other settings', rest, 'JSON: command, constraints, labels, isolation, secrets, limits.')),
    newer, slot.el, h('div', { class: 'row' }, save, reset));
  return { el: form, stop: functions.listen(draw) };
}
