/** Numbers and times as text: short, and always in the same form. */

const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const ONE = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

/** A count: `1,234`. */
export const count = (value) => WHOLE.format(value);

/** A count in little space: `1,234`, `12.3k`, `1.2M`. `thousands`: from where on `k` is used. */
export function short(value, thousands = 10_000) {
  if (value >= 999_950) return `${ONE.format(value / 1e6)}M`;
  if (value >= thousands) return `${ONE.format(value / 1e3)}k`;
  return WHOLE.format(value);
}

/** A rate per second: `0.4`, `12`, `5,021`. */
export const rate = (value) => (value < 10 ? ONE : WHOLE).format(value);

/** Milliseconds: `0.4 ms`, `12 ms`, `1.3 s`. */
export function duration(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms >= 60_000) return `${Math.floor(ms / 60_000)} min ${Math.floor(ms / 1000) % 60} s`;
  if (ms >= 9_950) return `${WHOLE.format(ms / 1000)} s`;
  if (ms >= 1_000) return `${ONE.format(ms / 1000)} s`;
  return `${(ms < 10 ? ONE : WHOLE).format(ms)} ms`;
}

/** How long ago: `now`, `12 s ago`, `2:05 ago`. */
export function ago(ms) {
  const seconds = Math.round(ms / 1000);
  if (seconds <= 0) return 'now';
  if (seconds < 60) return `${seconds} s ago`;
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')} ago`;
}

const pad = (value, length = 2) => String(value).padStart(length, '0');

/** The time of day where the reader is: `14:03:12`. */
export function clock(ms) {
  const date = new Date(ms);
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

/** The same with milliseconds: `14:03:12.031`. */
export const preciseClock = (ms) => `${clock(ms)}.${pad(Math.floor(ms % 1000), 3)}`;

/** Cents as money. */
export const price = (cents) => (cents / 100).toFixed(2);

/** `1 piece`, `2 pieces`. */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** `a`, `a and b`, `a, b and c`. */
export function list(words) {
  if (words.length < 2) return words.join('');
  return `${words.slice(0, -1).join(', ')} and ${words[words.length - 1]}`;
}
