// Asks before what cannot be undone. The safe answer has the focus; Escape is no.

import { fresh, h } from './dom.js';

export function sure(question, go, kind) {
  return new Promise((answered) => {
    const id = fresh('question');
    const end = (yes) => {
      box.close();
      box.remove();
      answered(yes);
    };
    const no = h('button', { type: 'button', autofocus: true, onclick: () => end(false) }, 'Cancel');
    const yes = h('button', { type: 'button', class: kind || 'primary', onclick: () => end(true) }, go);
    const box = h('dialog', { 'aria-labelledby': id }, h('p', { id }, question), h('div', { class: 'row end' }, no, yes));
    box.addEventListener('cancel', (event) => {
      event.preventDefault();
      end(false);
    });
    document.body.append(box);
    box.showModal();
    no.focus();
  });
}
