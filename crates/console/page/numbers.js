/** What clients see of the store: a strip of numbers. */
import { h } from './vnode.js';
import { duration, rate } from './format.js';

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
    tile('gap', 'Longest gap', none ? '–' : duration(t.longest_gap_ms), '',
      'without an order'));
}

function tile(id, title, value, unit, note, alert = false) {
  return h('div', { key: id, class: alert ? 'tile alert' : 'tile', 'data-number': id },
    h('dt', null, h('button', { type: 'button', class: 'explain', 'data-explain': id }, title)),
    h('dd', null, h('span', { class: 'value' }, value),
      unit ? h('span', { class: 'unit' }, ` ${unit}`) : null,
      h('span', { class: 'note' }, note)));
}
