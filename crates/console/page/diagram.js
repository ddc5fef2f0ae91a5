/** The diagram: processes, the ways between them, and what moves there. State in, SVG out. */
import { h } from './vnode.js';
import { layout } from './layout.js';
import { edges, path } from './edges.js';
import { processBox } from './process.js';
import { rates } from './state.js';
import { rate, short } from './format.js';

/** The words under which a flow's number is shown. */
const UNITS = { order: 'orders', read: 'reads', fill: 'fills', reserve: 'reserve', place: 'place',
  settle: 'settle', invalidate: 'drop' };

/** How thick a flow is: 1.5 pixels for a few a second, 11 for ten thousand. */
export function thickness(perSecond) {
  if (perSecond <= 0) return 1;
  return Math.min(11, 1.5 + Math.log10(1 + perSecond) * 2.3);
}

/**
 * @param {import('./state.js').State} state
 * @param {{width: number, selected: string|null, picked: string[], counts: boolean}} view
 *   `counts`: numbers also on edges where dots would do
 */
export function diagram(state, { width, selected, picked }) {
  const places = layout(state, width);
  const ways = edges(state, places);
  const moving = rates(state);
  const lines = ways.map((edge) => line(edge, moving.get(edge.key)));
  const labels = ways.map((edge) => label(edge, moving.get(edge.key), places));
  const boxes = state.names.map((name) => processBox(state.processes[name], places.boxes[name], {
    state, selected: name === selected, picked: picked.includes(name),
  }));
  return h('svg', {
    class: `diagram ${places.mode}`, width: places.width, height: places.height,
    viewBox: `0 0 ${places.width} ${places.height}`, role: 'group',
    'aria-label': 'The processes of the store and what moves between them',
  },
  h('g', { class: 'lines', 'aria-hidden': 'true' }, lines),
  h('g', { class: 'dots', 'data-dots': '', 'aria-hidden': 'true' }),
  h('g', { class: 'boxes' }, clients(places, state), boxes),
  h('g', { class: 'cuts' }, cuts(state, places)),
  h('g', { class: 'labels', 'aria-hidden': 'true' }, labels));
}

function line(edge, flow) {
  const width = thickness(flow?.items ?? 0);
  return h('path', {
    key: edge.key, class: `flow ${edge.kind}${flow ? ' moving' : ''}`, d: edge.d,
    'stroke-width': Math.round(width * 4) / 4, 'data-flow': edge.kind, 'data-from': edge.from,
    'data-to': edge.to, 'data-explain': `flow-${edge.kind}`,
  });
}

function label(edge, flow, { mode }) {
  if (!flow) return null;
  const { x, y, anchor } = edge.label;
  const value = flow.items < 10 ? rate(flow.items) : short(flow.items);
  const unit = mode === 'narrow' && edge.kind === 'place' ? '' : ` ${UNITS[edge.kind]}`;
  return h('text', {
    key: edge.key, class: `flow-label ${edge.kind}`, x: Math.round(x), y: Math.round(y),
    'text-anchor': anchor, 'data-explain': `flow-${edge.kind}`,
  }, h('tspan', { class: 'value' }, value), unit);
}

function clients({ clients: box, mode }, state) {
  const traffic = state.traffic;
  const shoppers = state.controls?.shoppers;
  const note = shoppers ? `${short(shoppers.count)} shopper${shoppers.count === 1 ? '' : 's'}` : '';
  const wide = mode === 'wide';
  const [x, y] = wide ? [box.w / 2, box.h / 2] : [box.w / 2, 25];
  const texts = wide
    ? [h('text', { class: 'name', x, y: y - 8 }, 'clients'),
      h('text', { class: 'fact', x, y: y + 11 }, note || 'anyone'),
      h('text', { class: 'fact', x, y: y + 28 }, traffic ? `${rate(traffic.orders_per_s)}/s` : '')]
    : [h('text', { class: 'name', x, y }, note ? `clients (${note})` : 'clients')];
  return h('g', { key: 'clients', class: 'outside', transform: `translate(${box.x} ${box.y})`,
    'data-explain': 'clients' },
  h('rect', { class: 'box', width: box.w, height: box.h, rx: wide ? 14 : 10 }), texts);
}

/** Directions in which nothing gets through. Both directions of a pair share a line. */
function cuts(state, { boxes }) {
  const pairs = new Map();
  for (const { from, to } of state.cut) {
    const key = [from, to].sort().join(' ');
    pairs.set(key, [...(pairs.get(key) ?? []), { from, to }]);
  }
  return [...pairs].map(([key, directions]) => {
    const [{ from, to }] = directions;
    const [a, b] = [boxes[from], boxes[to]];
    if (!a || !b) return null;
    const [p, q] = between(a, b);
    const [x, y] = [Math.round((p[0] + q[0]) / 2), Math.round((p[1] + q[1]) / 2)];
    const text = directions.length === 2 ? 'cut' : `cut: ${from} → ${to}`;
    const width = text.length * 6.4 + 30;
    return h('g', { key, class: 'cut', 'data-cut': key, 'data-explain': 'cut' },
      h('path', { class: 'cut-line', d: path([p, q]) }),
      h('rect', { class: 'cut-box', x: x - width / 2, y: y - 11, width, height: 22, rx: 11 }),
      h('path', { class: 'cut-mark', d: `M${x - width / 2 + 10} ${y - 4}l8 8m0 -8l-8 8` }),
      h('text', { class: 'cut-text', x: x + 9, y: y + 4 }, text));
  });
}

/** The shortest line between two boxes' sides. */
function between(a, b) {
  const side = (lowA, highA, lowB, highB) => {
    if (highA < lowB) return [highA, lowB];
    if (highB < lowA) return [lowA, highB];
    const middle = (Math.max(lowA, lowB) + Math.min(highA, highB)) / 2;
    return [middle, middle];
  };
  const [ax, bx] = side(a.x, a.x + a.w, b.x, b.x + b.w);
  const [ay, by] = side(a.y, a.y + a.h, b.y, b.y + b.h);
  return [[ax, ay], [bx, by]];
}
