// What a function or task prints: the last lines, then, while it is followed, new ones; and a search in them.

import { ask, Problem } from './api.js';
import { errors } from './action.js';
import { h, pause, say } from './dom.js';
import { moment, plural, time } from './format.js';
import { lines } from './stream.js';
import { place } from './windows.js';

/** Kept in the page. */
const KEPT = 2_000;
const TAIL = 500;
const AGAIN_MS = 2_000;

/** `{el, stop()}` */
export function logs(path, label) {
  const find = h('input', { type: 'search', placeholder: 'Find in the log', 'aria-label': 'Find in the log', oninput: search });
  const follow = h('input', { type: 'checkbox', checked: true, onchange: () => follow.checked && scroll() });
  const counted = h('span', { class: 'note', role: 'status' });
  const box = h('div', { class: 'log', role: 'log', 'aria-live': 'off', tabindex: 0, 'aria-label': label, onscroll: () => {
    if (box.scrollTop + box.clientHeight < box.scrollHeight - 40) follow.checked = false;
  } });
  const none = h('p', { class: 'note' }, 'Loading …');
  const slot = errors();
  const over = new AbortController();
  const waiting = [];
  let due = 0;
  let last = '';
  let pinned = false;

  const scroll = () => (box.scrollTop = box.scrollHeight);
  const fits = (el, asked) => !asked || el.textContent.toLowerCase().includes(asked);

  function search() {
    const asked = find.value.trim().toLowerCase();
    let found = 0;
    for (const el of box.children) {
      el.hidden = !fits(el, asked);
      found += !el.hidden;
    }
    say(counted, asked ? `${plural(found, 'line')} of ${box.children.length}` : '');
  }

  function row({ time: when, node, source, stream, line }) {
    const bad = stream === 'stderr';
    return h('div', { class: bad ? 'line err' : 'line', title: `${moment(when)} · ${node} · ${source} · ${stream}` },
      h('time', {}, time(when)), h('span', { class: 'who' }, node), ' ', h('span', { class: 'tag' }, bad ? 'err ' : ''), h('span', { class: 'what' }, line));
  }

  function draw() {
    due = 0;
    const asked = find.value.trim().toLowerCase();
    pinned = follow.checked;
    const added = waiting.splice(0).slice(-KEPT).map(row);
    for (const el of added) el.hidden = !fits(el, asked);
    box.append(...added);
    while (box.children.length > KEPT) box.firstChild.remove();
    if (asked) search();
    if (pinned) scroll();
  }

  async function read(room) {
    const end = new AbortController();
    for (const signal of [over.signal, room.signal]) signal.addEventListener('abort', () => end.abort(), { once: true });
    const answer = await ask('GET', `${path}?tail=${TAIL}&follow=true&format=json`, { signal: end.signal });
    slot.clear();
    say(none, 'It has printed nothing so far.');
    // The last lines come again at each connection: those that are shown already are left out.
    const from = last;
    for await (const batch of lines(answer)) {
      for (const text of batch.filter(Boolean)) {
        const line = JSON.parse(text);
        if (from && line.time <= from) continue;
        last = line.time > last ? line.time : last;
        waiting.push(line);
      }
      if (waiting.length) none.hidden = true;
      if (waiting.length && !due) due = setTimeout(draw, 50);
    }
  }

  (async () => {
    while (!over.signal.aborted) {
      const room = place(true);
      try {
        await read(room);
      } catch (error) {
        if (over.signal.aborted) return;
        if (error instanceof Problem) slot.show(error);
        say(none, '');
      } finally {
        room.end();
      }
      await pause(AGAIN_MS, over.signal);
    }
  })();

  const clear = h('button', { type: 'button', onclick: () => (box.replaceChildren(), search()) }, 'Clear');
  const el = h('div', {}, h('div', { class: 'row wrap' }, find, h('label', { class: 'check' }, follow, 'Follow'), clear, counted), slot.el, none, box);
  return { el, stop: () => over.abort() };
}
