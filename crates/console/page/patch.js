/**
 * Brings virtual nodes into the document, and changes only what differs from the last time. The
 * only module, with `main.js` and the ones it starts, that touches the DOM.
 */
import { attributeText } from './vnode.js';

const SVG = 'http://www.w3.org/2000/svg';

/** What each element shows: its children as virtual nodes, with their DOM nodes. */
const shown = new WeakMap();

/**
 * Makes `children` the children of `parent`.
 *
 * @param {Element} parent an element whose children only this function changes
 * @param {import('./vnode.js').Child|import('./vnode.js').Child[]} children
 */
export function patch(parent, children) {
  const wanted = (Array.isArray(children) ? children : [children]).filter(Boolean);
  const old = shown.get(parent) ?? [];
  const take = matcher(old);
  const next = wanted.map((vnode) => ({ vnode, match: take(vnode) }));
  for (const entry of old) if (!entry.taken) entry.node.remove();
  let cursor = parent.firstChild;
  const result = [];
  for (const { vnode, match } of next) {
    const node = match ? update(match, vnode) : create(vnode, parent);
    // An element that stays in its place is not moved: it would lose the focus.
    if (node === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(node, cursor);
    result.push({ vnode, node, taken: false });
  }
  shown.set(parent, result);
}

/** Finds the old entry for a new node: by key, else the next one of the same kind. */
function matcher(old) {
  const keyed = new Map();
  const others = new Map();
  for (const entry of old) {
    entry.taken = false;
    const key = entry.vnode.key;
    if (key !== undefined) keyed.set(key, entry);
    else {
      const kind = entry.vnode.tag ?? '';
      if (!others.has(kind)) others.set(kind, []);
      others.get(kind).push(entry);
    }
  }
  for (const queue of others.values()) queue.reverse();
  return (vnode) => {
    const entry = vnode.key !== undefined
      ? keyed.get(vnode.key)
      : others.get(vnode.tag ?? '')?.pop();
    if (!entry || entry.taken || entry.vnode.tag !== vnode.tag) return null;
    entry.taken = true;
    return entry;
  };
}

function create(vnode, parent) {
  if (typeof vnode === 'string') return document.createTextNode(vnode);
  const inSvg = vnode.tag === 'svg'
    || (parent.namespaceURI === SVG && parent.localName !== 'foreignObject');
  const element = inSvg
    ? document.createElementNS(SVG, vnode.tag)
    : document.createElement(vnode.tag);
  for (const [name, value] of Object.entries(vnode.attrs)) setAttribute(element, name, value);
  patch(element, vnode.children);
  return element;
}

function update(entry, vnode) {
  const { node, vnode: old } = entry;
  if (old === vnode) return node;
  if (typeof vnode === 'string') {
    if (old !== vnode) node.data = vnode;
    return node;
  }
  for (const name of Object.keys(old.attrs)) {
    if (!(name in vnode.attrs)) setAttribute(node, name, null);
  }
  for (const [name, value] of Object.entries(vnode.attrs)) {
    if (old.attrs[name] !== value) setAttribute(node, name, value);
  }
  patch(node, vnode.children);
  return node;
}

/** Properties that the attribute alone does not change once the user has touched the element. */
const PROPERTIES = new Set(['value', 'checked', 'selected', 'open', 'disabled']);

function setAttribute(element, name, value) {
  const text = attributeText(value);
  if (PROPERTIES.has(name) && name in element) {
    // What the user is changing right now is not overwritten.
    if (element !== document.activeElement || name === 'disabled') element[name] = value ?? '';
    if (name !== 'value') return;
  }
  if (text === null) element.removeAttribute(name);
  else element.setAttribute(name, text);
}
