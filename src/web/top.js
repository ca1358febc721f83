// What stands above every page: where one can go, and whether what is shown is of now.

import { remember, token } from './api.js';
import { h, mark, say } from './dom.js';
import { health, lists } from './live.js';
import { here, to } from './router.js';

const PAGES = [
  ['Overview', ''],
  ['Functions', 'functions'],
  ['Tasks', 'tasks'],
  ['Pipelines', 'pipelines'],
  ['Nodes', 'nodes'],
  ['Tokens', 'tokens'],
];
const SAYS = {
  live: ['Live', 'good', 'Changes are shown as they happen.'],
  polling: ['Every 3 s', 'warn', 'The stream of changes does not come through; the page asks every 3 seconds instead.'],
  away: ['Reconnecting', 'bad', 'The orchestrator does not answer. What is shown is what it last said.'],
  refused: ['Not allowed', 'warn', 'The token that is used here may not look at this.'],
  waiting: ['Connecting', 'dim', ''],
};
const THEMES = { auto: 'light dark', light: 'light', dark: 'dark' };

/** Light, dark, or what the system says. */
function theme() {
  const names = Object.keys(THEMES);
  const key = 'cares-theme';
  let now = names.includes(localStorage.getItem(key)) ? localStorage.getItem(key) : 'auto';
  const use = () => {
    document.documentElement.style.colorScheme = THEMES[now];
    say(el, { auto: 'Auto', light: 'Light', dark: 'Dark' }[now]);
    mark(el, 'aria-label', `Colours: ${now}. Change`);
  };
  const el = h('button', { type: 'button', class: 'quiet', onclick: () => {
    now = names[(names.indexOf(now) + 1) % names.length];
    localStorage.setItem(key, now);
    use();
  } });
  use();
  return el;
}

export function top() {
  const word = h('span', {});
  const pill = h('span', { class: 'pill', role: 'status', hidden: true }, h('span', { class: 'dot', 'aria-hidden': 'true' }), word);
  const links = PAGES.map(([name, path]) => h('a', { href: to(path) }, name));
  const out = h('button', { type: 'button', class: 'quiet', hidden: !token(), onclick: () => {
    remember(null);
    location.reload();
  } }, 'Sign out');
  const brand = h('a', { class: 'brand', href: '#/', 'aria-label': 'CARES, overview' }, h('span', { class: 'logo', 'aria-hidden': 'true' }), h('b', {}, 'CARES'));
  document.getElementById('top').replaceChildren(brand, h('nav', { 'aria-label': 'Pages' }, links), h('div', { class: 'row' }, pill, theme(), out));

  const turned = () => {
    out.hidden = !token();
    const first = here().split('/')[1] ?? '';
    const at = PAGES.findIndex(([, path]) => path === (first === 'deploy' ? 'functions' : first));
    links.forEach((link) => mark(link, 'aria-current', link === links[at] ? 'page' : null));
    const bar = links[0].parentElement;
    bar.scrollLeft = (links[at]?.offsetLeft ?? 0) - bar.clientWidth / 2; // on a phone it is not all to be seen
  };
  document.addEventListener('turned', turned);
  health.addEventListener('change', () => {
    const states = [...lists].map((list) => list.state);
    const worst = ['away', 'refused', 'waiting', 'polling', 'live'].find((state) => states.includes(state)) ?? 'waiting';
    const [name, colour, about] = SAYS[worst];
    say(word, name);
    pill.hidden = lists.size === 0;
    mark(pill, 'class', `pill ${colour}`);
    mark(pill, 'title', about || null);
    mark(document.body, 'data-state', worst);
  });
}
