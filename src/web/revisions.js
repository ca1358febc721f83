// A function's revisions, and the way back to one.

import { call } from './api.js';
import { button, errors } from './action.js';
import { h } from './dom.js';
import { image, moment } from './format.js';
import { functions } from './lists.js';
import { status } from './status.js';
import { grid } from './table.js';

export function revisions({ name, path }) {
  const slot = errors();
  const make = (first) => {
    const state = status();
    const number = first.revision;
    const back = button('Roll back', { slot, run: () => call('POST', `${path}/rollback`, { json: { revision: number } }), done: `${name} goes back to revision ${number}`,
      confirm: `Make revision ${number} of ${name} the newest again? Calls go over once it answers.`, go: 'Roll back', expect: () => functions.expect(name, { status: 'starting' }) });
    back.setAttribute('aria-label', `Roll back to revision ${number}`);
    return {
      cells: [number, state.el, image(first.image), [moment(first.created_at), first.by && h('span', { class: 'note' }, ` by ${first.by}`)], back],
      update(row) {
        state.update(row.status);
        back.hidden = row.status === 'serving';
      },
    };
  };
  const table = grid('Revisions', [['Revision'], ['Status'], ['Image', 'wide'], ['Made', 'wide'], ['', 'number']], (row) => row.revision, make);
  return { el: h('div', {}, slot.el, table.el), stop: functions.listen(() => table.draw(functions.get(name)?.revisions ?? [])) };
}
