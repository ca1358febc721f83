// Numbers, sizes and times as people read them.

const number = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const full = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

export const count = (n) => (n >= 10_000 ? compact.format(n) : number.format(n ?? 0));

export const percent = (n) => (n === null || n === undefined ? 'unknown' : `${Math.round(n)} %`);

export function bytes(n) {
  if (n === null || n === undefined) return 'unknown';
  let unit = 0;
  for (; n >= 1024 && unit < 4; unit += 1) n /= 1024;
  return `${unit && n < 100 ? number.format(n) : Math.round(n)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}`;
}

export function ms(n) {
  if (n === null || n === undefined) return '–';
  if (n < 10) return `${number.format(n)} ms`;
  if (n < 1_000) return `${Math.round(n)} ms`;
  return seconds(n / 1_000);
}

export function seconds(n) {
  if (n < 60) return `${n < 10 ? number.format(n) : Math.round(n)} s`;
  if (n < 3_600) return `${Math.floor(n / 60)} min`;
  if (n < 86_400) return `${Math.floor(n / 3_600)} h`;
  return `${Math.floor(n / 86_400)} d`;
}

export const time = (text) => (text ? clock.format(new Date(text)) : '–');
export const moment = (text) => (text ? full.format(new Date(text)) : '–');

/** An image as it is short: a bundle's digest is of no use to anybody. */
export const image = (text) => (text?.startsWith('bundle:') ? `bundle ${text.slice(7, 19)}` : text || 'no image');

/** A message with such digests made short. */
export const brief = (text) => text.replace(/bundle:([0-9a-f]{12})[0-9a-f]{20,}/g, 'bundle $1');

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
