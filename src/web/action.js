// Whatever a person does: the button waits while it runs, and an error stands where it happened.

import { Problem } from './api.js';
import { fresh, h, mark, put } from './dom.js';
import { sure } from './dialog.js';
import { told } from './told.js';

const NEXT = {
  401: 'Sign in with another token.',
  403: 'Sign in with a token that may do this: Tokens lists what each allows.',
};

/** A place for an error: `show(error)`, `clear()`. */
export function errors() {
  const el = h('div', { class: 'problem', role: 'alert', hidden: true });
  return {
    el,
    show(error) {
      const problem = error instanceof Problem ? error : new Problem(0, '', String(error?.message ?? error));
      const next = NEXT[problem.status];
      put(el, h('strong', {}, 'That did not work. '), problem.detail, next && ` ${next}`);
      el.hidden = false;
    },
    clear() {
      el.hidden = true;
      el.replaceChildren();
    },
  };
}

/** Runs one thing at a time for a button, which cannot be pressed meanwhile. Answers whether it went well. */
export async function busy(button, slot, run) {
  if (button.getAttribute('aria-busy') === 'true') return false;
  const focused = document.activeElement === button;
  mark(button, 'aria-busy', 'true');
  button.disabled = true;
  slot?.clear();
  try {
    await run();
    return true;
  } catch (error) {
    if (error?.name === 'AbortError') return false;
    if (slot?.el.isConnected) slot.show(error);
    else told(error.detail ?? String(error), 'bad');
    return false;
  } finally {
    mark(button, 'aria-busy', null);
    button.disabled = false;
    if (focused && document.activeElement === document.body) button.focus();
  }
}

/**
 * A button. `run()` does it; `expect()` shows it done already and answers `{done, undo}`; `confirm` is a question that is asked
 * before; `done` is said after.
 */
export function button(label, { run, expect, confirm, done, slot, kind = '', title, go = 'Yes' }) {
  const own = slot ?? errors();
  const el = h('button', { type: 'button', class: kind, title, onclick: press }, h('span', {}, label));
  async function press() {
    if (confirm && !(await sure(typeof confirm === 'function' ? confirm() : confirm, go, kind))) return;
    await busy(el, own, async () => {
      const expected = expect?.();
      try {
        const row = await run();
        expected?.done(row && typeof row === 'object' && !Array.isArray(row) ? row : null);
        if (done) told(typeof done === 'function' ? done(row) : done);
      } catch (error) {
        expected?.undo();
        throw error;
      }
    });
  }
  return el;
}

/** What a form does when it is sent. */
export const sends = (button, slot, run) => (event) => (event.preventDefault(), busy(button, slot, run));

/** What sends a form. */
export const primary = (label, props) => h('button', { class: 'primary', ...props }, h('span', {}, label));

/** Of what has a name in the cluster. */
export const NAME = { maxlength: 63, pattern: '[a-z0-9]([a-z0-9\\-]{0,61}[a-z0-9])?' };

/** A line and a box for text that is no prose. */
export const line = (props) => h('input', { spellcheck: 'false', autocapitalize: 'off', ...props });
export const area = (rows, props) => h('textarea', { rows, spellcheck: 'false', ...props });

/** A labelled field; `hint` is read out with it. */
export function field(label, control, hint) {
  const id = fresh('field');
  control.id = id;
  const about = hint && h('small', { id: `${id}-hint` }, hint);
  if (about) control.setAttribute('aria-describedby', about.id);
  return h('div', { class: 'field' }, h('label', { for: id }, label), control, about);
}

/** Copies a text; says so. */
export function copier(text, what) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text());
      told(`${what} copied`);
    } catch {
      told(`This browser lets only pages over HTTPS copy: select the ${what.toLowerCase()} by hand.`, 'bad');
    }
  };
  return h('button', { type: 'button', class: 'quiet', 'aria-label': `Copy: ${what}`, onclick: copy }, 'Copy');
}
