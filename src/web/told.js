// Says in a corner, and to screen readers, what came of something; it goes by itself.

import { h } from './dom.js';

const STAYS_MS = 6_000;
const MOST = 3;

export function told(text, kind = 'good') {
  const box = document.getElementById('told');
  const note = h('p', { class: `toast ${kind}` }, text);
  box.append(note);
  while (box.children.length > MOST) box.firstChild.remove();
  setTimeout(() => note.remove(), STAYS_MS);
}
