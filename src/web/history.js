// The last minutes as this page saw them: samples every two seconds, of nodes and of all calls.

import { functions, nodes } from './lists.js';

const EVERY_MS = 2_000;
export const SAMPLES = 60;

const load = new Map();
/** Calls a second. */
export const rates = [];
let before = null;

export const loadOf = (id) => load.get(id) ?? [];

function push(values, value) {
  values.push(value);
  if (values.length > SAMPLES) values.shift();
}

function sample() {
  if (nodes.state !== 'waiting') {
    for (const id of load.keys()) if (!nodes.rows.has(id)) load.delete(id);
    for (const [id, node] of nodes.rows) {
      if (!load.has(id)) load.set(id, []);
      push(load.get(id), node.cpu_percent ?? 0);
    }
  }
  if (functions.state === 'live' || functions.state === 'polling') {
    const [calls, now] = [functions.all().reduce((sum, one) => sum + one.calls, 0), performance.now()];
    // Counts begin anew with the orchestrator, and go with a function.
    if (before) push(rates, Math.max(0, calls - before.calls) / ((now - before.now) / 1_000));
    before = { calls, now };
  } else before = null;
}

const watching = new Set();

let timer = 0;
/** Calls back at once and after each sample; answers how to stop that. */
export function watch(told) {
  if (!timer) timer = setInterval(() => {
    if (document.hidden) return;
    sample();
    for (const one of watching) one();
  }, EVERY_MS);
  watching.add(told);
  told();
  return () => watching.delete(told);
}
