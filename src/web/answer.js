// What a function answered, as text: JSON indented, anything that is no text as a file to keep. Never as a page.

import { h } from './dom.js';
import { bytes, ms } from './format.js';

/** Read of an answer at most, and shown of it. */
const READ_MAX = 16 << 20;
const SHOWN_MAX = 256 << 10;
const TEXT = /^(text\/|application\/(.*\+)?(json|xml|javascript|x-www-form-urlencoded|yaml|x-ndjson))/i;

async function read(answer) {
  const chunks = [];
  let size = 0;
  const reader = answer.body?.getReader();
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true };
    if (done) return { blob: new Blob(chunks), size, cut: false };
    chunks.push(value);
    size += value.length;
    if (size > READ_MAX) {
      reader.cancel().catch(() => {});
      return { blob: new Blob(chunks), size, cut: true };
    }
  }
}

/** Text if it is UTF-8, or else null. */
async function textOf(blob) {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await blob.slice(0, SHOWN_MAX).arrayBuffer(), { stream: true });
  } catch {
    return null;
  }
}

function formatted(text, type) {
  if (!/json/i.test(type) && !/^\s*[[{]/.test(text)) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** The newest answer, for its link; the one before it goes. */
let kept = '';

export async function answerView(answer, began) {
  if (answer.type === 'opaqueredirect') {
    return [h('p', {}, 'It redirects. A browser does not tell a page where to; “cares invoke” and curl do.')];
  }
  const { blob, size, cut } = await read(answer);
  const took = performance.now() - began;
  const type = answer.headers.get('content-type') ?? '';
  const good = answer.status < 400;
  const head = h('p', { class: 'row wrap' }, h('strong', { class: good ? 'good' : 'bad' }, `${good ? '✓' : '✕'} ${answer.status} ${answer.statusText}`), h('span', {}, ms(took)), h('span', {}, cut ? `more than ${bytes(READ_MAX)}` : bytes(size)), h('span', { class: 'note' }, type));
  const rows = [...answer.headers].map(([name, value]) => h('tr', {}, h('th', { scope: 'row' }, name), h('td', {}, value)));
  const headers = h('details', {}, h('summary', {}, `${rows.length} headers`), h('table', { class: 'plain' }, h('tbody', {}, rows)));
  URL.revokeObjectURL(kept);
  kept = URL.createObjectURL(blob);
  const keep = h('a', { href: kept, download: 'answer', class: 'button quiet' }, 'Keep as a file');
  const text = size === 0 || TEXT.test(type) || type === '' ? await textOf(blob) : null;
  const shown = size === 0
    ? h('p', { class: 'note' }, 'It is empty.')
    : text === null
      ? h('p', { class: 'note' }, 'It is not text.')
      : h('pre', { tabindex: 0, 'aria-label': 'Body of the answer' }, formatted(text, type));
  return [head, headers, shown, size > SHOWN_MAX && text !== null ? h('p', { class: 'note' }, `The first ${bytes(SHOWN_MAX)} are shown.`) : null, size ? keep : null];
}
