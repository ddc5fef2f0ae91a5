/** What the catalog has in stock. */
import { h } from './vnode.js';
import { count, price } from './format.js';
import { leaderOf, ofService } from './state.js';

/** @param {import('./state.js').State} state */
export function stock(state) {
  const catalog = leaderOf(state, 'catalog')
    ?? ofService(state, 'catalog').find((process) => process.stock);
  const products = catalog?.stock;
  if (!products) return h('p', { class: 'empty' }, 'The catalog has not told its stock yet.');
  const most = Math.max(1, ...products.map((product) => product.quantity));
  const hot = state.controls?.shoppers?.hot_product;
  return h('ul', { class: 'stock' }, products.map((product) => h('li', {
    key: product.name, 'data-product': product.name,
    class: product.quantity === 0 ? 'sold-out' : null,
  },
  h('span', { class: 'product' }, product.name,
    product.name === hot ? h('span', { class: 'hot' }, 'hot') : null),
  h('meter', { min: 0, max: most, value: product.quantity, 'aria-hidden': 'true' }),
  h('span', { class: 'quantity' }, product.quantity === 0 ? 'sold out' : count(product.quantity)),
  h('span', { class: 'price' }, price(product.price_cents)))));
}
