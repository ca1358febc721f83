// A function's settings as they are sent: made from what it is, from a form, or from a folder's function.json.

/** Fields of a function that are its settings, beside schedules. */
const OWN = ['image', 'mode', 'command', 'env', 'secrets', 'timeout_s', 'memory_mb', 'cpu', 'isolation', 'concurrency', 'min', 'ready', 'max', 'idle_s', 'freeze_s',
  'constraints', 'labels', 'description', 'attempts', 'public', 'rate_per_s', 'calls_at_once'];
/** Those that a job has not. */
const OF_INSTANCES = ['min', 'ready', 'max'];

const empty = (value) => value === undefined || value === null || value === '' || (typeof value === 'object' && Object.keys(value).length === 0);

/** What `PUT /functions/NAME` takes, to make of a function what it is. */
export function specOf(row) {
  const spec = {};
  for (const key of OWN) if (!empty(row[key])) spec[key] = row[key];
  if (row.schedule) {
    spec.schedule = row.schedule.expression;
    spec.schedule_zone = row.schedule.zone;
    spec.schedule_missed = row.schedule.missed;
    spec.schedule_overlap = row.schedule.overlap;
  }
  return tidy(spec);
}

export function tidy(spec) {
  const all = { ...spec };
  if (all.mode === 'job') for (const key of OF_INSTANCES) delete all[key];
  return all;
}

/** `KEY=VALUE`, one a line. */
export const pairs = (map) => Object.entries(map ?? {}).map(([key, value]) => `${key}=${value}`).join('\n');

export function mapOf(text, what) {
  const map = {};
  for (const line of text.split('\n').filter((one) => one.trim())) {
    const at = line.indexOf('=');
    if (at < 1) throw new Error(`${what}: “${line.trim()}” has no “=”. Write one a line, as NAME=value.`);
    map[line.slice(0, at).trim()] = line.slice(at + 1);
  }
  return map;
}
