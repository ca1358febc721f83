// One request to the API and its answer. Holds the token, for this tab alone, and never puts it into an address.

import { pause } from './dom.js';

const KEY = 'cares-token';
/** An answer that takes longer to begin than this does not come any more. */
const PATIENCE_MS = 30_000;
const AGAIN_MS = 300;

/** An error as the API tells it; `status` 0: there was no answer. */
export class Problem extends Error {
  constructor(status, code, detail) {
    super(detail);
    Object.assign(this, { status, code, detail });
  }

  /** The setting that it is about, if it begins with one. */
  get field() {
    return this.code === 'invalid_field' ? (/^([\w.-]+)/.exec(this.detail)?.[1] ?? null) : null;
  }
}

export const token = () => sessionStorage.getItem(KEY);

export function remember(secret) {
  if (secret) sessionStorage.setItem(KEY, secret);
  else sessionStorage.removeItem(KEY);
}

/** Told once each time the API asks for a token that it was not given. */
export const gate = new EventTarget();

/** A part of a path. */
export const part = (text) => encodeURIComponent(text);

async function problemOf(answer) {
  const text = await answer.text().catch(() => '');
  try {
    const { status, code, detail, title, errorMessage } = JSON.parse(text);
    return new Problem(status ?? answer.status, code ?? '', detail ?? errorMessage ?? title ?? text);
  } catch {
    return new Problem(answer.status, '', text.slice(0, 500) || `${answer.status} ${answer.statusText}`);
  }
}

/** Sends a request; whatever comes back, errors included, is the answer. Functions are called through this. */
export async function send(method, path, { body, headers = {}, signal, patience = PATIENCE_MS, redirect = 'error', looks = false } = {}) {
  const secret = token();
  const all = new Headers(headers);
  if (secret && !all.has('authorization')) all.set('authorization', `Bearer ${secret}`);
  const over = new AbortController();
  const stop = () => over.abort();
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  const timer = patience && setTimeout(() => over.abort(new Problem(0, 'timeout', 'The orchestrator did not answer in time.')), patience);
  const once = () => fetch(path, { method, body, headers: all, signal: over.signal, redirect, credentials: 'omit', cache: 'no-store' });
  try {
    // Browsers give up what they ask when a network comes or goes, as with each container: looking may be done again.
    return await once().catch((error) => (looks && !over.signal.aborted ? pause(AGAIN_MS, over.signal).then(once) : Promise.reject(error)));
  } catch (error) {
    if (error instanceof Problem || signal?.aborted) throw error;
    throw new Problem(0, 'unreachable', 'The orchestrator cannot be reached. It may be stopped, or the network is away.');
  } finally {
    clearTimeout(timer);
  }
}

/** The same; errors are thrown. */
export async function ask(method, path, { json, headers = {}, ...rest } = {}) {
  const given = json === undefined ? {} : { body: JSON.stringify(json) };
  const type = json === undefined ? {} : { 'content-type': 'application/json' };
  const answer = await send(method, path, { looks: method === 'GET', ...given, ...rest, headers: { ...type, ...headers } });
  if (answer.ok) return answer;
  const problem = await problemOf(answer);
  if (problem.status === 401) gate.dispatchEvent(new CustomEvent('closed', { detail: problem }));
  throw problem;
}

/** What an answer says; null when it is empty. */
export async function call(method, path, options) {
  const answer = await ask(method, path, options);
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

export const get = (path, options) => call('GET', path, options);

/** All pages of a list. */
export async function all(path, options) {
  const rows = [];
  for (let next = `${path}?limit=1000`; next; ) {
    const answer = await ask('GET', next, options);
    rows.push(...(await answer.json()));
    next = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
  }
  return rows;
}
