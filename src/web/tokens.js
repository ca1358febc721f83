// Tokens, making one, and the command that joins another machine. Secrets are shown once, and never kept.

import { all, call, get, part, remember, token } from './api.js';
import { button, copier, errors, field, line, NAME, primary, sends } from './action.js';
import { h, put, say } from './dom.js';
import { moment } from './format.js';
import { status } from './status.js';
import { grid } from './table.js';

const SCOPES = [['admin', 'everything'], ['deploy', 'change functions and tasks'], ['invoke', 'call any function'], ['read', 'look at everything'], ['worker', 'join as a worker']];
const DAY_S = 86_400;
const FOR = [['', 'until it is revoked'], [DAY_S, 'a day'], [7 * DAY_S, 'a week'], [90 * DAY_S, '90 days'], [365 * DAY_S, 'a year']];

/** Shows a secret this once. */
function shown(title, text, note) {
  return [h('h3', {}, title), h('p', { class: 'secret' }, text), h('div', { class: 'row' }, copier(() => text, 'Secret'), h('span', { class: 'note' }, note))];
}

function makeForm(made) {
  const slot = errors();
  const name = line({ required: true, ...NAME });
  const boxes = SCOPES.map(([scope, about]) => ({ scope, box: h('input', { type: 'checkbox' }), about }));
  const only = line({ placeholder: 'names, with blanks between' });
  const expires = h('select', {}, FOR.map(([value, text]) => h('option', { value }, text)));
  const out = h('div', { class: 'answer', 'aria-live': 'polite' });
  const make = primary('Make a token');
  const submit = sends(make, slot, async () => {
    const scopes = boxes.filter(({ box }) => box.checked).map(({ scope }) => scope).concat(only.value.split(/[\s,]+/).filter(Boolean).map((one) => `invoke:${one}`));
    if (scopes.length === 0) throw new Error('Choose at least one thing that it allows.');
    const fresh = await call('POST', '/tokens', { json: { name: name.value, scopes, ...(expires.value && { expires_s: Number(expires.value) }) } });
    // From the first one on everybody needs one: whoever made it goes on with it.
    if (!token()) {
      remember(fresh.token);
      document.dispatchEvent(new Event('turned'));
    }
    put(out, shown(`The token “${fresh.name}”`, fresh.token, 'It is shown this once.'));
    form.reset();
    made();
  });
  const form = h('form', { class: 'card', onsubmit: submit }, h('h2', {}, 'A new token'), field('Name', name, 'Events say what was done with it.'),
    h('fieldset', { class: 'scopes' }, h('legend', {}, 'It may'), boxes.map(({ scope, box, about }) => h('label', { class: 'check' }, box, `${scope}: ${about}`))),
    field('Or call only these functions', only), field('Good for', expires), slot.el, make, out);
  return form;
}

function joinCard(made) {
  const slot = errors();
  const out = h('div', { class: 'answer', 'aria-live': 'polite' });
  const make = button('Make a join token', { slot, run: async () => {
    const [{ token: secret }, cluster] = await Promise.all([call('POST', '/tokens/join', { json: {} }), get('/cluster')]);
    const at = cluster.grpc_addr.replace(/^(0\.0\.0\.0|\[::\]):/, `${location.hostname}:`);
    put(out, shown('The join token', secret, 'It is shown this once, and is good for a day.'), h('p', {}, 'Put it into a file on the other machine, and run there: '), h('pre', {}, `cares worker ${at} --join-token-file FILE`));
    made();
  } });
  return h('section', { class: 'card' }, h('h2', {}, 'Add a machine'), h('p', { class: 'note' }, 'Another machine joins with a token, over TLS.'), slot.el, make, out);
}

export function tokensPage() {
  const slot = errors();
  const note = h('p', { class: 'note', role: 'status' }, 'Loading …');
  const over = new AbortController();
  const load = async () => {
    try {
      const rows = await all('/tokens', { signal: over.signal });
      slot.clear();
      table.draw(rows);
      say(note, rows.length ? '' : 'There are none: anybody who reaches this address may do everything. The first token must be an admin’s; from then on everybody needs one.');
    } catch (error) {
      if (over.signal.aborted) return;
      say(note, '');
      slot.show(error);
    }
  };
  function make(first) {
    const state = status();
    const revoke = button('Revoke', { slot, kind: 'danger', run: async () => {
      await call('DELETE', `/tokens/${part(first.id)}`);
      await load();
    }, confirm: `Revoke “${first.name}”? Whoever uses it is refused from now on.`, go: 'Revoke', done: `${first.name} is worthless now` });
    revoke.setAttribute('aria-label', `Revoke ${first.name}`);
    const cells = [first.name, first.scopes.join(', '), state.el, moment(first.created_at), first.expires_at ? moment(first.expires_at) : 'never', revoke];
    return { cells, update: (row) => state.update(row.status) };
  }
  const table = grid('Tokens', [['Name'], ['May', 'wide'], ['Status'], ['Made', 'wide'], ['Ends', 'wide'], ['', 'number']], (row) => row.id, make);
  table.draw([]);
  load();
  const el = h('div', {}, slot.el, note, table.el, h('div', { class: 'halves' }, makeForm(load), joinCard(load)));
  return { title: 'Tokens', el, stop: () => over.abort() };
}
