// Parts of a page behind tabs; what a tab shows is made when it is first opened. Arrows go from one to the next.

import { end, fresh, h, mark } from './dom.js';

/** `parts`: `[{key, label, href, make() -> {el, stop?}}]`. Answers `{el, stop()}`. */
export function tabs(parts, first) {
  const all = parts.map((part) => {
    const id = fresh('tab');
    const panel = h('div', { role: 'tabpanel', id: `${id}-panel`, 'aria-labelledby': id, hidden: true, class: 'panel' });
    const tab = h('button', { type: 'button', role: 'tab', id, 'aria-controls': panel.id, onclick: () => open(part.key), onkeydown: keys }, part.label);
    return { ...part, tab, panel, made: null };
  });
  const list = h('div', { role: 'tablist', class: 'tabs' }, all.map((one) => one.tab));

  function open(key) {
    const chosen = all.find((one) => one.key === key) ?? all[0];
    for (const one of all) {
      mark(one.tab, 'aria-selected', one === chosen);
      mark(one.tab, 'tabindex', one === chosen ? 0 : -1);
      one.panel.hidden = one !== chosen;
    }
    if (!chosen.made) {
      chosen.made = chosen.make();
      chosen.panel.append(chosen.made.el);
    }
    // The address says which it is, and the page stays.
    if (key !== first || location.hash.endsWith(key)) history.replaceState(null, '', chosen.href);
  }

  function keys(event) {
    const at = all.findIndex((one) => one.tab === event.currentTarget);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const one = all[(next + all.length) % all.length];
    open(one.key);
    one.tab.focus();
  }
  open(first);
  return { el: h('div', {}, list, all.map((one) => one.panel)), stop: () => all.forEach((one) => end(one.made?.stop)) };
}
