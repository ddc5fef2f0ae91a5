/** What clients see of the store: a strip of numbers. */
import { h } from './vnode.js';
import { count, duration, rate } from './format.js';

/** A request that waits for so long waits for something that does not answer. */
const LONG_MS = 800;

/** Whether requests wait for something that does not answer. Then there are no errors yet. */
export const waitsLong = ({ traffic }) => (traffic?.waiting_ms ?? 0) >= LONG_MS;

/**
 * @param {import('./state.js').State} state
 */
export function numbers(state) {
  const t = state.traffic;
  const none = t === null;
  const problems = (t?.errors_per_s ?? 0) + (t?.refused_per_s ?? 0);
  return h('dl', { class: 'numbers' },
    tile('orders', 'Orders', none ? '–' : rate(t.orders_per_s), 'a second',
      none ? '' : `p50 ${duration(t.order_p50_ms)} · p99 ${duration(t.order_p99_ms)}`),
    tile('reads', 'Reads', none ? '–' : rate(t.reads_per_s), 'a second',
      none || t.hit_ratio === null ? '' : `${Math.round(t.hit_ratio * 100)} % from a cache`),
    tile('errors', 'Errors', none ? '–' : rate(t.errors_per_s), 'a second',
      none ? '' : `${rate(t.refused_per_s)} refused`, problems > 0 && t.errors_per_s > 0),
    tile('waiting', 'Waiting', none ? '–' : count(t.waiting), t?.waiting === 1 ? 'request'
      : 'requests', waitingNote(state), waitsLong(state)),
    tile('gap', 'Longest gap', none ? '–' : duration(t.longest_gap_ms), '',
      'without an order'));
}

function waitingNote({ traffic }) {
  if (!traffic || traffic.waiting === 0) return '';
  return waitsLong({ traffic }) ? `the oldest for ${duration(traffic.waiting_ms)}` : 'for a moment';
}

function tile(id, title, value, unit, note, alert = false) {
  return h('div', { key: id, class: alert ? 'tile alert' : 'tile', 'data-number': id },
    h('dt', null, h('button', { type: 'button', class: 'explain', 'data-explain': id }, title)),
    h('dd', null, h('span', { class: 'value' }, value),
      unit ? h('span', { class: 'unit' }, ` ${unit}`) : null,
      h('span', { class: 'note' }, note)));
}
