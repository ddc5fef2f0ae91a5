/**
 * Virtual nodes: what the views return. A view is a pure function from state to such a tree, so it
 * can be tested without a browser; `patch.js` brings a tree into the document.
 *
 * @typedef {{tag: string, attrs: Object<string, *>, children: Child[], key?: string}} VNode
 * @typedef {VNode|string} Child
 */
import { escapeText } from './escape.js';

/**
 * A node. Children may be nested arrays; `null`, `undefined` and `false` are left out. The
 * attribute `key` names a node among its siblings, so that it keeps its element when they move.
 *
 * @param {string} tag
 * @param {Object<string, *>|null} [attrs]
 * @param {...*} children
 * @returns {VNode}
 */
export function h(tag, attrs, ...children) {
  const { key, ...rest } = attrs ?? {};
  return { tag, attrs: rest, children: flatten(children, []), key };
}

function flatten(children, into) {
  for (const child of children) {
    if (Array.isArray(child)) flatten(child, into);
    else if (child === null || child === undefined || child === false) continue;
    else into.push(typeof child === 'object' ? child : String(child));
  }
  return into;
}

/** Whether an attribute is written at all, and as which text. */
export function attributeText(value) {
  if (value === null || value === undefined || value === false) return null;
  return value === true ? '' : String(value);
}

const VOID = new Set(['br', 'hr', 'img', 'input', 'link', 'meta']);

/**
 * The tree as HTML, everything escaped. For pages that are written to a file, and for tests.
 *
 * @param {Child|Child[]} node
 * @returns {string}
 */
export function toHtml(node) {
  if (Array.isArray(node)) return node.map(toHtml).join('');
  if (typeof node === 'string') return escapeText(node);
  let attributes = '';
  for (const [name, value] of Object.entries(node.attrs)) {
    const text = attributeText(value);
    if (text !== null) attributes += ` ${name}="${escapeText(text)}"`;
  }
  if (VOID.has(node.tag)) return `<${node.tag}${attributes}>`;
  return `<${node.tag}${attributes}>${toHtml(node.children)}</${node.tag}>`;
}

/** All text of a tree, without markup. */
export function toText(node) {
  if (Array.isArray(node)) return node.map(toText).join('');
  return typeof node === 'string' ? node : toText(node.children);
}
