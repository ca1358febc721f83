// Which address shows which page. Addresses are behind the #, so that the orchestrator never hears of them.

import { end, h, put, say } from './dom.js';

/** Stands in place of the `rest` of a page whose subject is not there: `{el, update(row, list)}`. */
export function missing(what, name, ...rest) {
  const el = h('p', { class: 'empty', hidden: true });
  const hide = (hidden) => rest.forEach((one) => (one.hidden = hidden));
  hide(true);
  return { el, update(row, list) {
    hide(!row);
    el.hidden = Boolean(row) || list.state === 'waiting';
    const why = list.trouble && list.trouble.status !== 404 ? list.trouble.detail : `There is no ${what} “${name}”, or no longer.`;
    if (!el.hidden) put(el, `${why} `, h('a', { href: to(`${what}s`) }, `All ${what}s`));
  } };
}

const routes = [];
let leave = null;

/** `path`: '/functions/:name'. `show(params)` answers `{el, title, beside?, stop?}`. */
export const route = (path, show) => routes.push({ parts: path.split('/'), show });

/** An address: `to('functions', name)`. */
export const to = (...parts) => `#/${parts.map(encodeURIComponent).join('/')}`;

export const here = () => location.hash.replace(/^#/, '') || '/';

export function go(address) {
  if (location.hash === address) return draw();
  location.hash = address;
}

function find(path) {
  const given = path.split('/');
  for (const { parts, show } of routes) {
    if (parts.length !== given.length) continue;
    const params = {};
    const fits = parts.every((one, at) => {
      if (!one.startsWith(':')) return one === given[at];
      try {
        params[one.slice(1)] = decodeURIComponent(given[at]);
      } catch {
        return false;
      }
      return given[at] !== '';
    });
    if (fits) return () => show(params);
  }
  return () => ({ title: 'Nothing here', el: h('p', {}, 'There is no such page. ', h('a', { href: '#/' }, 'Go to the overview')) });
}

let heading = null;
/** Names the page that is shown: for some what they are of is known only later. */
export function called(name) {
  say(heading, name);
  document.title = `${name} · CARES`;
}

let first = true;
function draw() {
  const main = document.getElementById('main');
  end(leave);
  const page = find(here())();
  leave = page.stop;
  heading = h('h1', { tabindex: -1 });
  called(page.title);
  main.replaceChildren(h('div', { class: 'title' }, heading, page.beside), page.el);
  scrollTo(0, 0);
  if (!first) heading.focus({ preventScroll: true });
  first = false;
  document.dispatchEvent(new Event('turned'));
}

export function start() {
  addEventListener('hashchange', draw);
  draw();
}

export function stop() {
  removeEventListener('hashchange', draw);
  end(leave);
  leave = null;
}
