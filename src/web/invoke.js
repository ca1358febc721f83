// Calls a function: method, path, headers and body in, the answer as it can be read out.

import { part, send } from './api.js';
import { answerView } from './answer.js';
import { area, busy, errors, field, line, primary } from './action.js';
import { h, put } from './dom.js';

const METHODS = ['POST', 'GET', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];

/** `Name: value`, one a line. */
function headersOf(text) {
  const headers = new Headers();
  for (const line of text.split('\n').filter((one) => one.trim())) {
    const colon = line.indexOf(':');
    if (colon < 1) throw new Error(`Headers: “${line.trim()}” has no colon. Write one header a line, as “Accept: text/plain”.`);
    try {
      headers.append(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
    } catch {
      throw new Error(`Headers: “${line.trim()}” is no header a browser can send.`);
    }
  }
  return headers;
}

export function invoker({ name }) {
  const method = h('select', {}, METHODS.map((one) => h('option', {}, one)));
  const path = line({ value: '/' });
  const headers = area(2, { placeholder: 'Content-Type: application/json' });
  const body = area(6);
  const later = h('input', { type: 'checkbox' });
  const slot = errors();
  const out = h('div', { class: 'answer', 'aria-live': 'polite' }, h('p', { class: 'note' }, 'Nothing is sent yet.'));
  const run = primary('Send');
  const cancel = h('button', { type: 'button', hidden: true }, 'Cancel');

  function submit(event) {
    event.preventDefault();
    const over = new AbortController();
    busy(run, slot, async () => {
      cancel.hidden = false;
      cancel.onclick = () => over.abort();
      try {
        const given = headersOf(headers.value);
        if (later.checked) given.set('X-Cares-Async', 'true');
        const bare = ['GET', 'HEAD'].includes(method.value);
        const began = performance.now();
        const rest = path.value.startsWith('/') ? path.value : `/${path.value}`;
        const address = `/invoke/${part(name)}${rest === '/' ? '' : rest}`;
        const answer = await send(method.value, address, { headers: given, body: bare ? undefined : body.value, signal: over.signal, patience: 0, redirect: 'manual' });
        put(out, h('p', { class: 'note' }, 'Reading the answer …'));
        put(out, await answerView(answer, began));
      } finally {
        cancel.hidden = true;
      }
    });
  }
  const keys = (event) => event.key === 'Enter' && (event.ctrlKey || event.metaKey) && (event.preventDefault(), form.requestSubmit());
  const form = h('form', { onsubmit: submit, onkeydown: keys },
    h('div', { class: 'row top' }, field('Method', method), h('div', { class: 'grow' }, field('Path and query', path))),
    field('Headers', headers, 'One a line. A browser sets Host, Cookie and a few others itself.'),
    field('Body', body),
    h('label', { class: 'check' }, later, 'Call it later (asynchronous): the answer is the call’s id'),
    slot.el,
    h('div', { class: 'row' }, run, cancel, h('span', { class: 'note' }, 'Ctrl and Enter does it too')));
  return { el: h('div', { class: 'halves' }, form, h('section', { 'aria-label': 'Answer' }, h('h3', {}, 'Answer'), out)) };
}
