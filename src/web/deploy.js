// Deploys a function: a folder or zip, built if need be, or an image.

import { call, get, part } from './api.js';
import { area, busy, errors, field, line, NAME, primary, sends } from './action.js';
import { builder } from './build.js';
import { h, put } from './dom.js';
import { dropZone } from './drop.js';
import { bytes, plural } from './format.js';
import { functions } from './lists.js';
import { go, to } from './router.js';
import { nameOf, sourceOf } from './source.js';
import { mapOf } from './spec.js';
import { tabs } from './tabs.js';
import { told } from './told.js';

const UPLOAD_MS = 30 * 60_000;

const nameInput = (name) => line({ value: name ?? '', required: true, ...NAME });
const NAME_HINT = 'Small letters, digits and hyphens. A name that exists gets a new revision.';

function deployed(name) {
  told(`${name} is deployed`);
  go(to('functions', name));
}

/** Where there is no such function. */
const unless404 = (other) => (error) => (error.status === 404 ? other() : Promise.reject(error));

/** Makes a function, or a new revision of one, which keeps what is not said. */
async function register(name, json) {
  const made = () => call('POST', '/functions', { json: { ...json, name } });
  await call('POST', `/functions/${part(name)}/redeploy`, { json }).catch(unless404(made));
  deployed(name);
}

function fromFolder({ name }) {
  const slot = errors();
  const build = builder();
  const named = nameInput(name);
  const runtime = line({ placeholder: 'found by itself' });
  const about = h('p', { class: 'note', role: 'status' }, 'Nothing chosen yet.');
  const deploy = primary('Deploy', { disabled: true });
  const cancel = h('button', { type: 'button', hidden: true }, 'Cancel');
  const runtimes = field('Runtime', runtime, 'python-flask, nodejs, go, rust, static-binary or shell. Left empty, it is found from the files.');
  let source = null;

  function failed(error) {
    [source, deploy.disabled] = [null, true];
    put(about, 'Nothing chosen.');
    slot.show(error);
  }

  async function took(what) {
    slot.clear();
    put(about, 'Reading …');
    try {
      source = await sourceOf(what);
      if (!named.value) named.value = source.name;
      runtimes.hidden = source.bundle;
      const next = source.bundle ? 'Its function.json says how it is run: nothing is built.' : 'It is built on a node first.';
      put(about, `“${what.name}”: ${plural(source.files, 'file')}, ${bytes(source.zip.size)}. ${next}`);
      deploy.disabled = false;
    } catch (error) {
      failed(error);
    }
  }

  async function send(signal) {
    const as = named.value;
    if (source.bundle) {
      await call('PUT', `/functions/${part(as)}/bundle`, { body: source.zip, headers: { 'content-type': 'application/zip' }, signal, patience: UPLOAD_MS });
      return deployed(as);
    }
    const built = await build.run({ name: as, zip: source.zip, runtime: runtime.value.trim() }, signal);
    if (built.status !== 'succeeded') return;
    await register(as, { ...source.settings, name: as, image: built.image });
  }

  function submit(event) {
    event.preventDefault();
    const over = new AbortController();
    cancel.onclick = () => over.abort();
    cancel.hidden = false;
    busy(deploy, slot, () => send(over.signal)).finally(() => (cancel.hidden = true));
  }
  const form = h('form', { onsubmit: submit }, dropZone(took, failed), about, field('Name', named, NAME_HINT), runtimes, slot.el,
    h('div', { class: 'row' }, deploy, cancel), build.el);
  return { el: form };
}

function fromImage({ name }) {
  const slot = errors();
  const named = nameInput(name);
  const image = line({ required: true, placeholder: 'registry.example/name:tag' });
  const mode = h('select', {}, h('option', { value: 'auto' }, 'found by itself'), h('option', { value: 'http' }, 'http: serves on $PORT, kept warm'), h('option', { value: 'job' }, 'job: runs once for each call'));
  const env = area(3);
  const deploy = primary('Deploy');
  image.addEventListener('change', () => (named.value ||= nameOf(image.value.split('/').pop().split(/[:@]/)[0])));
  const submit = sends(deploy, slot, async () => {
    const [as, more] = [named.value, mapOf(env.value, 'Environment')];
    const before = env.value.trim() && (await get(`/functions/${part(as)}`).catch(unless404(() => ({})))).env;
    return register(as, { image: image.value.trim(), mode: mode.value, env: env.value.trim() ? { ...before, ...more } : undefined });
  });
  return { el: h('form', { onsubmit: submit }, field('Image', image, 'A node pulls it, with its own credentials.'), field('Name', named, NAME_HINT), field('Mode', mode), field('Environment', env, 'NAME=value, one a line.'), slot.el, deploy) };
}

export function deployPage({ name }) {
  const listed = functions.listen(() => {}); // so that its page is there at once
  const href = name ? to('deploy', name) : to('deploy');
  const parts = tabs([{ key: 'folder', label: 'Folder or zip', href, make: () => fromFolder({ name }) }, { key: 'image', label: 'Image', href, make: () => fromImage({ name }) }], 'folder');
  return { title: name ? `New version of ${name}` : 'Deploy', el: h('div', { class: 'card narrow' }, parts.el), stop: [parts.stop, listed] };
}
