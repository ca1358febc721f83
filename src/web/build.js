// Sends source to be built, and shows what the builder says as it says it.

import { ask, call, get, part, Problem } from './api.js';
import { h, pause, put } from './dom.js';
import { status } from './status.js';
import { lines } from './stream.js';
import { place } from './windows.js';

const KEPT = 5_000;
const ENDED = ['succeeded', 'failed', 'cancelled'];
const UPLOAD_MS = 30 * 60_000;

/** `{el, run({name, zip, runtime}, signal) -> build}`; leaving `signal` cancels the build. */
export function builder() {
  const state = status();
  const out = h('pre', { class: 'log', role: 'log', tabindex: 0, 'aria-label': 'Log of the build' });
  const el = h('section', { hidden: true, 'aria-label': 'Build' }, h('div', { class: 'row' }, h('h3', {}, 'Build'), state.el), out);

  function add(batch) {
    const bottom = out.scrollTop + out.clientHeight > out.scrollHeight - 40;
    out.append(...batch.map((line) => h('div', {}, line || ' ')));
    while (out.children.length > KEPT) out.firstChild.remove();
    if (bottom) out.scrollTop = out.scrollHeight;
  }

  async function follow(id, signal) {
    const room = place(true);
    try {
      const answer = await ask('GET', `/builds/${part(id)}/log?follow=true`, { signal });
      out.replaceChildren();
      for await (const batch of lines(answer)) add(batch);
    } finally {
      room.end();
    }
  }

  async function run({ name, zip, runtime }, signal) {
    el.hidden = false;
    put(out);
    state.update('queued');
    const form = new FormData();
    form.set('name', name);
    if (runtime) form.set('runtime', runtime);
    form.set('file', zip, `${name}.zip`);
    const answer = await ask('POST', '/build?detach=true', { body: form, signal, patience: UPLOAD_MS });
    const { id } = await answer.json();
    const cancel = () => {
      state.update('cancelled');
      call('DELETE', `/builds/${part(id)}`).catch(() => {});
    };
    signal.addEventListener('abort', cancel, { once: true });
    state.update('running');
    try {
      for (;;) {
        // The log may break off although the build goes on: then it is followed anew.
        await follow(id, signal).catch((error) => signal.aborted && Promise.reject(error));
        const build = await get(`/builds/${part(id)}`, { signal });
        state.update(build.status);
        if (build.status === 'failed') throw new Problem(422, 'build_failed', build.error ?? 'The build failed; its log says why.');
        if (ENDED.includes(build.status)) return build;
        await pause(1_000, signal);
      }
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }
  return { el, run };
}
