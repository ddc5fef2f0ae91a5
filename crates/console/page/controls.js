/** What one can do to the whole store: shoppers, caches, partitions, everything at once. */
import { h } from './vnode.js';
import { count } from './format.js';

/** How many shoppers the slider offers. */
export const SHOPPERS = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256];

/** The slider's position for a number of shoppers. */
export function shopperStep(number) {
  const step = SHOPPERS.findIndex((value) => value >= number);
  return step < 0 ? SHOPPERS.length - 1 : step;
}

/**
 * @param {import('./state.js').State} state
 * @param {Object} about
 * @param {{live: boolean, picking: boolean, picked: string[], from: string, to: string,
 *   bothWays: boolean}} view
 */
export function controls(state, about, view) {
  if (!about.controls) return readOnly(about);
  if (!state.controls) return h('p', { class: 'empty' }, 'Waiting for the store …');
  return [
    view.live ? null : h('p', { key: 'past', class: 'past' },
      'You are looking at the past. Go back to live to change something.'),
    shoppers(state, about, view),
    cache(state, view),
    partition(state, view),
    everything(view),
  ];
}

function readOnly(about) {
  return h('div', { class: 'read-only', 'data-read-only': '' },
    h('p', null, h('b', null, 'This console only watches.'), ' It does not own the processes, so '
      + 'it '
      + 'cannot stop them or cut their connections.'),
    h('p', null, 'To break a store of your own, run ', h('code', null, 'cargo run --release -- up '
      + '--shop'),
      ' and open the address that it prints.'),
    about.store ? h('p', null, 'You can still order something: ', curl(about)) : null);
}

/** The command that places an order. */
export function curl(about) {
  const product = about.products?.[0] ?? 'Tux';
  const body = JSON.stringify({ name: product, quantity: 1 }).replace(/'/g, '\\u0027');
  return h('code', { class: 'command' }, `curl ${about.store}/orders `
    + `-H 'Content-Type: application/json' -d '${body}'`);
}

function shoppers(state, about, { live }) {
  const now = state.controls.shoppers;
  const percent = Math.round(now.order_probability * 100);
  return h('fieldset', { key: 'shoppers', disabled: !live },
    h('legend', null, 'Shoppers'),
    h('p', null, 'Simulated people who look at products, and order some of them.'),
    h('label', { for: 'shopper-count' }, 'How many', h('output', { for: 'shopper-count',
      'data-output': 'count' }, count(now.count))),
    h('input', { id: 'shopper-count', type: 'range', min: 0, max: SHOPPERS.length - 1, step: 1,
      value: shopperStep(now.count), 'data-shoppers': 'count', 'aria-valuetext': `${now.count}` }),
    h('label', { for: 'shopper-probability' }, 'Of 100 looks, this many become orders',
      h('output', { for: 'shopper-probability', 'data-output': 'probability' }, percent)),
    h('input', { id: 'shopper-probability', type: 'range', min: 0, max: 100, step: 5,
      value: percent, 'data-shoppers': 'probability' }),
    h('label', { for: 'shopper-hot' }, 'Hot product'),
    h('select', { id: 'shopper-hot', 'data-shoppers': 'hot', value: now.hot_product ?? '' },
      h('option', { value: '', selected: now.hot_product === null }, 'none: all alike'),
      (about.products ?? []).map((product) => h('option', {
        key: product, value: product, selected: product === now.hot_product,
      }, product))),
    h('p', { class: 'watch' }, 'Watch: many shoppers make thick flows; a hot product leaves the '
      + 'caches '
      + 'with each order, so the share that caches answer falls.'));
}

function cache(state, { live }) {
  const on = state.controls.cache;
  return h('fieldset', { key: 'cache', disabled: !live },
    h('legend', null, 'Caches'),
    h('button', { type: 'button', class: 'switch', role: 'switch', 'data-action': 'cache',
      'data-on': String(!on), 'aria-checked': String(on) }, h('i', { 'aria-hidden': 'true' }),
    on ? 'Caches are on' : 'Caches are off'),
    h('p', { class: 'watch' }, 'Watch: without caches each read goes to the catalog. Reads take '
      + 'longer; orders need no invalidations.'));
}

function partition(state, { live, picking, picked, from, to, bothWays }) {
  const options = (chosen) => state.names.map((name) => h('option', {
    key: name, value: name, selected: name === chosen,
  }, name));
  const pairs = state.cut.map((link) => h('li', { key: `${link.from} ${link.to}` },
    h('span', null, `${link.from} → ${link.to}`),
    h('button', { type: 'button', 'data-action': 'heal', 'data-from': link.from, 'data-to': link.to,
      'aria-label': `Heal ${link.from} to ${link.to}` }, 'Heal')));
  return h('fieldset', { key: 'partition', disabled: !live },
    h('legend', null, 'Partition'),
    h('p', null, 'Cuts the connection between two processes. Both go on running.'),
    h('div', { class: 'pair' },
      h('label', { for: 'cut-from' }, 'From'),
      h('select', { id: 'cut-from', 'data-cut-end': 'from', value: from }, options(from)),
      h('label', { for: 'cut-to' }, 'to'),
      h('select', { id: 'cut-to', 'data-cut-end': 'to', value: to }, options(to))),
    h('label', { class: 'check' },
      h('input', { type: 'checkbox', id: 'cut-both', checked: bothWays }),
      'both directions'),
    h('div', { class: 'buttons' },
      h('button', { type: 'button', class: 'break', 'data-action': 'partition',
        disabled: from === to }, 'Cut'),
      h('button', { type: 'button', 'data-action': 'pick', 'aria-pressed': String(picking) },
        picking ? `Select the ${picked.length === 0 ? 'first' : 'second'} process …`
          : 'Pick both in the diagram')),
    pairs.length > 0 ? h('ul', { class: 'cut-list' }, pairs) : null,
    h('p', { class: 'watch' }, 'Watch: a leader that a majority still hears stays leader. One that '
      + 'no frontend reaches is replaced.'));
}

function everything({ live }) {
  return h('fieldset', { key: 'everything', disabled: !live },
    h('legend', null, 'Everything at once'),
    h('div', { class: 'buttons' },
      h('button', { type: 'button', class: 'break', 'data-action': 'kill_all' }, 'Kill all'),
      h('button', { type: 'button', class: 'repair', 'data-action': 'restart_all' }, 'Restart '
        + 'all')),
    h('p', { class: 'watch' }, 'Watch: after the restart each order that was acknowledged is still '
      + 'there.'));
}
