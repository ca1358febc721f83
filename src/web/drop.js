// Where a folder or a zip is dropped or chosen; answers its files.

import { h, mark } from './dom.js';

/** A function has no use for these. */
const SKIPPED = ['.git'];
const FILES_MAX = 10_000;

const skipped = (path) => path.split('/').some((one) => SKIPPED.includes(one));

function entries(reader) {
  return new Promise((done, failed) => reader.readEntries(done, failed));
}

async function walk(entry, path, into) {
  if (skipped(path)) return;
  if (entry.isFile) into.push({ path, file: await new Promise((done, failed) => entry.file(done, failed)) });
  else {
    const reader = entry.createReader();
    // It gives some at a time, and none at the end.
    for (let found = await entries(reader); found.length; found = await entries(reader)) {
      for (const one of found) await walk(one, `${path}/${one.name}`, into);
    }
  }
  if (into.length > FILES_MAX) throw new Error(`The folder has more than ${FILES_MAX} files: leave out what is not needed.`);
}

/** Files below one folder, without its name. */
function folder(files) {
  const name = files[0]?.path.split('/')[0] ?? '';
  const below = files.filter(({ path }) => !skipped(path)).map(({ path, file }) => ({ path: path.slice(name.length + 1), file }));
  return { name, files: below };
}

const single = (file) => (/\.zip$/i.test(file.name) || file.type === 'application/zip' ? { name: file.name.replace(/\.zip$/i, ''), zip: file } : null);

async function given(transfer) {
  const items = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (transfer.files.length === 1 && !items[0]?.isDirectory) {
    const file = transfer.files[0];
    return single(file) ?? { name: file.name.replace(/\..*$/, ''), files: [{ path: file.name, file }] };
  }
  const files = [];
  const root = items.length === 1 ? '' : 'dropped/';
  for (const item of items) await walk(item, `${root}${item.name}`, files);
  if (files.length === 0) throw new Error('There are no files in what was dropped.');
  return folder(files);
}

/** `took({name, files} or {name, zip})`, `failed(error)`. */
export function dropZone(took, failed) {
  const chosen = (input) => {
    const files = [...input.files];
    if (files.length === 0) return;
    const zip = files.length === 1 && single(files[0]);
    took(zip || folder(files.map((file) => ({ path: file.webkitRelativePath || file.name, file }))));
    input.value = '';
  };
  const pick = (attributes, label) => {
    const input = h('input', { type: 'file', class: 'unseen', tabindex: -1, 'aria-label': label, onchange: (event) => chosen(event.target), ...attributes });
    return [input, h('button', { type: 'button', onclick: () => input.click() }, label)];
  };
  const el = h('div', { class: 'drop' }, h('p', {}, h('strong', {}, 'Drop a folder or a zip here')),
    h('div', { class: 'row wrap' }, pick({ webkitdirectory: true, 'data-takes': 'folder' }, 'Choose a folder'), pick({ accept: '.zip', 'data-takes': 'zip' }, 'Choose a zip')));
  const over = (is) => (event) => {
    event.preventDefault();
    mark(el, 'class', is ? 'drop over' : 'drop');
  };
  el.addEventListener('dragover', over(true));
  el.addEventListener('dragleave', over(false));
  el.addEventListener('drop', (event) => {
    over(false)(event);
    given(event.dataTransfer).then(took, failed);
  });
  return el;
}
