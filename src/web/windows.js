// How many streams this window may keep open. A browser opens six connections to one server over HTTP/1, for all of its windows
// together: were they all streams, nothing else would be answered. So the windows that can be seen share four.

const SHARED = 4;
const BEAT_MS = 2_000;
const GONE_MS = 5_000;

const self = crypto.getRandomValues(new Uint32Array(2)).join('-');
const others = new Map();
const held = new Set();
const channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel('cares') : null;

const share = () => Math.floor(SHARED / (1 + others.size));

function beat() {
  const now = Date.now();
  for (const [id, seen] of others) if (now - seen > GONE_MS) others.delete(id);
  channel?.postMessage({ id: self, here: !document.hidden });
  for (const place of [...held].reverse()) {
    if (held.size <= share()) break;
    if (!place.first) place.end(); // its list goes on by asking
  }
}

channel?.addEventListener('message', ({ data }) => {
  const known = others.has(data.id);
  if (data.here) others.set(data.id, Date.now());
  else others.delete(data.id);
  if (data.here && !known) beat();
});
addEventListener('pagehide', () => channel?.postMessage({ id: self, here: false }));
document.addEventListener('visibilitychange', beat);
setInterval(beat, BEAT_MS);
beat();

/**
 * A place for a stream, or null. `first`: what somebody asked for by hand comes before lists, and is never refused.
 * `spare()`: whether nobody looks at it now, so that it goes when another needs the place.
 */
export function place(first = false, spare = () => false) {
  if (held.size >= share()) [...held].find((other) => other.spare())?.end();
  if (!first && held.size >= share()) return null;
  const over = new AbortController();
  const one = {
    first,
    spare,
    signal: over.signal,
    end() {
      held.delete(one);
      over.abort();
    },
  };
  held.add(one);
  return one;
}
