// Loads the page once more when a part of it did not come: browsers drop what they are loading when a network appears or goes, which
// starting a container does. No module: it must work when those do not load.

(() => {
  const KEY = 'cares-loads';
  const MOST = 6;
  let failed = false;
  addEventListener('error', ({ target }) => {
    if (failed || !(target instanceof HTMLLinkElement || target instanceof HTMLScriptElement)) return;
    failed = true; // what else does not come of this load is of the same try
    const tries = Number(sessionStorage.getItem(KEY) ?? 0) + 1;
    if (tries > MOST) return void (document.getElementById('main').textContent = 'A part of this page did not come. Load it again.');
    sessionStorage.setItem(KEY, tries);
    setTimeout(() => location.reload(), 100 * 2 ** tries);
  }, true);
  addEventListener('load', () => setTimeout(() => failed || sessionStorage.removeItem(KEY), 2000));
})();
