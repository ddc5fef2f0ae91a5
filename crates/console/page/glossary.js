/** All explanations in one list: for those who read rather than point. */
import { h } from './vnode.js';
import { EXPLANATIONS, readMore } from './explain.js';

/** @param {Object} about */
export function glossary(about) {
  return h('dl', { class: 'glossary' }, Object.entries(EXPLANATIONS).map(([id, entry]) => h(
    'div', { key: id }, h('dt', null, entry.title), h('dd', null, entry.text, ' '
      + '', more(entry, about)))));
}

/** Where to read more: a link, or the document's path. */
export function more(entry, about) {
  const { label, href } = readMore(entry, about.docs);
  return href
    ? h('a', { href, target: '_blank', rel: 'noreferrer noopener' }, label)
    : h('span', { class: 'path' }, label);
}

/** The text of a tooltip, or null if there is no such entry. */
export function tip(id, about) {
  const entry = EXPLANATIONS[id];
  if (!entry) return null;
  return [h('b', null, entry.title), h('p', null, entry.text), h('p', { class: 'more' },
    more(entry, about))];
}
