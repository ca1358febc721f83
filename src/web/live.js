// Lists of the API: watched, or asked for again and again where that does not work. What a person has just done stands over them until
// the API says so itself, or refuses.

import { all, ask, Problem } from './api.js';
import { pause } from './dom.js';
import { events } from './stream.js';
import { place } from './windows.js';

const POLL_MS = 3_000;
const AGAIN_MS = 1_000;
/** A stream that is not whole by then is held back on its way. */
const FIRST_MS = 6_000;
/** The API says something every 15 s. */
const SILENCE_MS = 40_000;
/** Without a listener, a list is kept for so long. */
const KEPT_MS = 5_000;
/** After its success, until the API's own word is taken. */
const SETTLED_MS = 3_000;
const BROKEN_MAX_MS = 30_000;

/** All lists that are in use. */
export const lists = new Set();
/** Told when one of them begins or ceases to be live. */
export const health = new EventTarget();

export class List {
  rows = new Map();
  /** `waiting`, `live`, `polling`, `away`, or `refused` as the token may not look. */
  state = 'waiting';
  problem = null;
  #over = new Map();
  #shown = new Map();
  #listeners = new Set();
  #run = null;
  #due = false;
  /** Drawing takes no more than a fifth of the time. */
  #took = 0;
  #broken = 0;

  /** `ask(options)` answers all rows; the pages of the path, unless it is said. */
  constructor(path, keyOf, ask = (options) => all(path, options)) {
    this.path = path;
    this.keyOf = keyOf;
    this.ask = ask;
  }

  /** Calls back now and on each change; answers how to stop that. */
  listen(told) {
    this.#listeners.add(told);
    clearTimeout(this.idle);
    if (!this.#run) this.#start();
    if (this.state !== 'waiting') told(this);
    return () => {
      this.#listeners.delete(told);
      if (this.#listeners.size === 0) this.idle = setTimeout(() => this.stop(), KEPT_MS);
    };
  }

  stop() {
    this.#run?.abort();
    this.#run = null;
    this.rows.clear();
    lists.delete(this);
    this.#is('waiting');
  }

  /** Why there is nothing to show, if so. */
  get trouble() {
    return this.rows.size === 0 && ['away', 'refused'].includes(this.state) ? this.problem : null;
  }

  /** One row as it is to be shown: the same object as long as nothing of it changes. */
  get(key) {
    const row = this.rows.get(key);
    const over = this.#over.get(key);
    if (!row || !over) return row;
    if (over.change === null) return undefined;
    const before = this.#shown.get(key);
    if (before?.row === row && before.change === over.change) return before.shown;
    const shown = { ...row, ...over.change };
    this.#shown.set(key, { row, change: over.change, shown });
    return shown;
  }

  all() {
    if (this.#over.size === 0) return [...this.rows.values()];
    return [...this.rows.keys()].map((key) => this.get(key)).filter(Boolean);
  }

  /** Shows a row changed already (null: gone). The answer says what came of it: `done(row?)` or `undo()`. */
  expect(key, change) {
    const over = { change, settled: null };
    const before = this.rows.get(key);
    this.#over.set(key, over);
    this.tell();
    const end = () => {
      if (this.#over.get(key) !== over) return;
      this.#over.delete(key);
      this.#shown.delete(key);
      this.tell();
    };
    return {
      undo: end,
      done: (row) => {
        // What the stream said meanwhile may be newer.
        if (row && before && before === this.rows.get(key) && this.keyOf(row) === key) {
          this.rows.set(key, row);
          return end();
        }
        over.settled = end;
        setTimeout(end, SETTLED_MS);
      },
    };
  }

  tell() {
    if (this.#due) return;
    this.#due = true;
    const wait = Math.max(16, Math.min(4 * this.#took, 500));
    setTimeout(() => {
      const began = performance.now();
      this.#due = false;
      for (const told of [...this.#listeners]) told(this);
      this.#took = performance.now() - began;
    }, wait);
  }

  #put(row) {
    const key = this.keyOf(row);
    this.rows.set(key, row);
    this.#over.get(key)?.settled?.();
  }

  #is(state, problem = null) {
    const other = this.state !== state;
    [this.state, this.problem] = [state, problem];
    if (other) health.dispatchEvent(new Event('change'));
    this.tell();
  }

  #start() {
    const run = (this.#run = new AbortController());
    lists.add(this);
    this.#go(run.signal);
  }

  async #go(stop) {
    let next = 0;
    while (!stop.aborted) {
      await seen(stop);
      const room = Date.now() >= next ? place(false, () => this.#listeners.size === 0) : null;
      let whole = false;
      if (room) {
        try {
          await this.#stream(stop, room.signal, () => (whole = true));
        } catch (error) {
          if (error instanceof Problem && error.status) this.problem = error;
        } finally {
          room.end();
        }
      }
      if (this.#listeners.size === 0) this.stop();
      if (stop.aborted) return;
      try {
        if (document.hidden) continue;
        await this.#poll(stop, whole);
        if (room && !whole) this.#broken = Math.min(this.#broken + 1, 5);
        if (room && !whole) next = Date.now() + Math.min(AGAIN_MS * 2 ** this.#broken, BROKEN_MAX_MS);
        if (whole) this.#broken = 0;
      } catch (error) {
        if (stop.aborted) return;
        this.#is(error.status === 403 ? 'refused' : 'away', error);
      }
      const wait = this.state === 'away' || whole ? AGAIN_MS : POLL_MS;
      await pause(this.problem?.status === 403 ? 3 * POLL_MS : wait, stop);
    }
  }

  async #stream(stop, over, synced) {
    const end = new AbortController();
    const ends = () => end.abort();
    const hidden = () => document.hidden && ends();
    for (const signal of [stop, over]) signal.addEventListener('abort', ends);
    document.addEventListener('visibilitychange', hidden);
    let timer = setTimeout(ends, FIRST_MS);
    try {
      const answer = await ask('GET', `${this.path}?watch=true`, { signal: end.signal });
      const first = new Set();
      let whole = false;
      for await (const batch of events(answer)) {
        for (const { kind, data } of batch) {
          const row = JSON.parse(data);
          if (kind === 'put') {
            this.#put(row);
            if (!whole) first.add(this.keyOf(row));
          } else if (kind === 'gone') this.rows.delete(row.id);
          else if (kind === 'synced') {
            for (const key of [...this.rows.keys()]) if (!first.has(key)) this.rows.delete(key);
            [whole, this.#broken] = [true, 0];
            synced();
            this.#is('live');
          }
        }
        clearTimeout(timer);
        timer = setTimeout(ends, whole ? SILENCE_MS : FIRST_MS);
        if (whole && batch.length) this.tell();
      }
    } finally {
      clearTimeout(timer);
      for (const signal of [stop, over]) signal.removeEventListener('abort', ends);
      document.removeEventListener('visibilitychange', hidden);
      end.abort();
    }
  }

  async #poll(stop, live) {
    const rows = await this.ask({ signal: stop });
    const there = new Set(rows.map(this.keyOf));
    for (const key of [...this.rows.keys()]) if (!there.has(key)) this.rows.delete(key);
    for (const row of rows) {
      const before = this.rows.get(this.keyOf(row));
      if (!before || JSON.stringify(before) !== JSON.stringify(row)) this.#put(row);
    }
    // Where the stream only broke off it is there again in a moment.
    this.#is(live ? 'live' : 'polling');
  }
}

/** Resolves once somebody can see the page. */
function seen(stop) {
  return new Promise((done) => {
    const look = () => {
      if (document.hidden && !stop.aborted) return;
      document.removeEventListener('visibilitychange', look);
      stop.removeEventListener('abort', look);
      done();
    };
    document.addEventListener('visibilitychange', look);
    stop.addEventListener('abort', look);
    look();
  });
}
