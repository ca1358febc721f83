// What was dropped, as it is sent: a bundle if its function.json says how it is run, or else source that is to be built.

import { filesIn, zipOf } from './zip.js';

const MANIFEST = 'function.json';

/** `{name, files}` or `{name, zip}` becomes `{name, zip, settings, bundle, files}`. */
export async function sourceOf({ name, files, zip }) {
  const inside = zip ? await filesIn(zip) : files.map(({ path, file }) => ({ path, text: () => file.text() }));
  const paths = inside.map((one) => one.path).filter((path) => !path.endsWith('/'));
  const found = inside.find((one) => one.path === MANIFEST);
  let manifest = null;
  if (found) {
    try {
      manifest = JSON.parse(await found.text());
    } catch (error) {
      throw new Error(`Its ${MANIFEST} is no JSON: ${error.message}`);
    }
  }
  const { runtime, ...settings } = manifest ?? {}; // which runtime it is is the build's matter
  const bundle = Boolean(settings.command) && !runtime && !paths.includes('Dockerfile');
  return { name: nameOf(settings.name || name), zip: zip ?? (await zipOf(files)), settings, bundle, files: paths.length };
}

/** A function's name made of a folder's. */
export const nameOf = (text) => text.toLowerCase().replace(/[^a-z0-9-]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 63);
