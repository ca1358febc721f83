// What happened, newest first, as it happens.

import { ask, Problem } from './api.js';
import { h, keyed, pause, say } from './dom.js';
import { errors } from './action.js';
import { brief, moment, time } from './format.js';
import { status } from './status.js';
import { events } from './stream.js';
import { place } from './windows.js';

const KEPT = 200;
const AGAIN_MS = 1_500;
const ASK_MS = 3_000;
/** However many come, they are drawn so seldom. */
const DRAW_MS = 200;

function make(event) {
  const when = h('time', { datetime: event.time, title: moment(event.time) }, time(event.time));
  const level = status();
  level.update(event.level);
  const who = event.actor && h('span', { class: 'note' }, ` by ${event.actor}`);
  return { el: h('li', { class: event.level }, when, level.el, h('span', { class: 'grow' }, brief(event.message), who)) };
}

/** `{el, stop()}`; `wanted(event)`: which of them; `most`: how many at once. */
export function eventList({ wanted = () => true, most = 50 } = {}) {
  const list = h('ol', { class: 'events', tabindex: 0, 'aria-label': 'Events, newest first' });
  const none = h('p', { class: 'note' }, 'Loading …');
  const slot = errors();
  const over = new AbortController();
  const kept = [];
  let last = '0';
  let due = 0;

  function take(batch) {
    for (const { data } of batch) {
      const event = JSON.parse(data);
      last = String(event.id);
      if (wanted(event)) kept.unshift(event);
    }
    kept.length = Math.min(kept.length, KEPT);
    due ||= setTimeout(draw, DRAW_MS);
  }

  function draw() {
    due = 0;
    keyed(list, kept.slice(0, most), (event) => event.id, make);
    say(none, kept.length ? '' : 'Nothing has happened yet.');
    none.hidden = kept.length > 0;
  }

  async function read(path, signal) {
    const answer = await ask('GET', path, { headers: { 'last-event-id': last }, signal });
    slot.clear();
    for await (const batch of events(answer)) take(batch);
  }

  (async () => {
    while (!over.signal.aborted) {
      const room = document.hidden ? null : place();
      try {
        if (room) {
          room.signal.addEventListener('abort', () => end.abort());
          const end = new AbortController();
          over.signal.addEventListener('abort', () => end.abort(), { once: true });
          await read('/events', end.signal);
        } else if (!document.hidden) await read('/events?follow=false', over.signal);
      } catch (error) {
        if (over.signal.aborted) return;
        if (error instanceof Problem && error.status) slot.show(error);
      } finally {
        room?.end();
      }
      await pause(room ? AGAIN_MS : ASK_MS, over.signal);
    }
  })();
  return { el: h('div', {}, slot.el, none, list), stop: () => over.abort() };
}
