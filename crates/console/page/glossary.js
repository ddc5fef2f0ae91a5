/** All explanations in one list: for those who read rather than point. */
import { h } from './vnode.js';
import { EXPLANATIONS } from './explain.js';

/** The explanations, each with its links. */
export function glossary() {
  return h('dl', { class: 'glossary' }, Object.entries(EXPLANATIONS).map(([id, entry]) => h(
    'div', { key: id }, h('dt', null, entry.title),
    h('dd', null, entry.text, h('span', { class: 'more' }, links(entry.more))))));
}

/**
 * Where to read more: documents that the console serves, in a tab of their own.
 *
 * @param {import('./explain.js').Link[]} more
 */
export function links(more) {
  return more.map(({ label, href }, i) => [i > 0 ? ' · ' : null,
    h('a', { href, target: '_blank', rel: 'noreferrer noopener' }, label)]);
}

/** The text of a tooltip, or null if there is no such entry. */
export function tip(id) {
  const entry = EXPLANATIONS[id];
  if (!entry) return null;
  return [h('b', null, entry.title), h('p', null, entry.text),
    h('p', { class: 'more' }, links(entry.more))];
}
