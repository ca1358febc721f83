// Asks for a token, where the orchestrator asks for one.

import { Problem, remember, send } from './api.js';
import { errors, field, sends } from './action.js';
import { h, put } from './dom.js';

let shown = false;

export function signin(why) {
  if (shown) return;
  shown = true;
  const slot = errors();
  const input = h('input', { type: 'password', autocomplete: 'off', required: true, spellcheck: 'false' });
  const enter = h('button', { class: 'primary' }, 'Sign in');
  const submit = sends(enter, slot, async () => {
    const secret = input.value.trim();
    if (!/^[\x21-\x7e]+$/.test(secret)) throw new Problem(0, '', 'A token is letters, digits and signs, without blanks.');
    const answer = await send('GET', '/version', { headers: { authorization: `Bearer ${secret}` } });
    if (answer.status === 401) throw new Problem(0, '', 'This token is not known here: it may be mistyped, revoked or expired.');
    if (!answer.ok) throw new Problem(answer.status, '', `The orchestrator answered ${answer.status}.`);
    remember(secret);
    location.reload();
  });
  const hint = 'It is kept for this tab alone, until the tab is closed. “cares token create” makes one.';
  const form = h('form', { class: 'card signin', onsubmit: submit }, h('h1', {}, 'Sign in'),
    h('p', {}, why ? 'The token that was used here is no longer good.' : 'This cluster asks for a token.'), field('Token', input, hint), slot.el, h('div', { class: 'row end' }, enter));
  put(document.getElementById('main'), form);
  document.title = 'Sign in · CARES';
  input.focus();
}
