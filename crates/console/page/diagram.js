/** The diagram: processes, the ways between them, and what moves there. State in, SVG out. */
import { h } from './vnode.js';
import { layout } from './layout.js';
import { curve, edges, path, pointAt, rounded } from './edges.js';
import { processBox } from './process.js';
import { rates } from './state.js';
import { short } from './format.js';

/** The words under which a flow's number is shown: for one, for many. */
const UNITS = { order: ['order', 'orders'], read: ['read', 'reads'], fill: ['fill', 'fills'],
  reserve: ['reserve', 'reserve'], place: ['place', 'place'], settle: ['settle', 'settle'],
  invalidate: ['drop', 'drops'] };

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
  h('g', { class: 'labels', 'aria-hidden': 'true' }, labels),
  h('g', { class: 'cuts' }, cuts(state, places)));
}

/** Many fills and invalidations share a lane, so they stay thin. */
const THIN = new Set(['fill', 'invalidate']);

function line(edge, flow) {
  const width = Math.min(thickness(flow?.items ?? 0), THIN.has(edge.kind) ? 3.5 : Infinity);
  return h('path', {
    key: edge.key, class: `flow ${edge.kind}${flow ? ' moving' : ''}`, d: edge.d,
    'stroke-width': Math.round(width * 4) / 4, 'data-flow': edge.kind, 'data-from': edge.from,
    'data-to': edge.to, 'data-explain': `flow-${edge.kind}`,
  });
}

function label(edge, flow, { mode }) {
  if (!flow) return null;
  const { x, y, anchor } = edge.label;
  const value = short(flow.items, mode === 'narrow' ? 1_000 : 10_000);
  const [one, many] = UNITS[edge.kind];
  const word = flow.items === 1 ? one : many;
  const unit = mode === 'narrow' && edge.kind === 'place' ? '' : ` ${word}`;
  return h('text', {
    key: edge.key, class: `flow-label ${edge.kind}`, x: Math.round(x), y: Math.round(y),
    'text-anchor': anchor, 'data-explain': `flow-${edge.kind}`,
  }, h('tspan', { class: 'value' }, value), unit);
}

function clients({ clients: box, mode }, state) {
  const shoppers = state.controls?.shoppers;
  const note = shoppers ? `${short(shoppers.count)} shopper${shoppers.count === 1 ? '' : 's'}` : '';
  const wide = mode === 'wide';
  const [x, y] = wide ? [box.w / 2, box.h / 2] : [box.w / 2, 25];
  const texts = wide
    ? [h('text', { class: 'name', x, y: y - 5 }, 'clients'),
      h('text', { class: 'fact', x, y: y + 14 }, note || 'anyone')]
    : [h('text', { class: 'name', x, y }, note ? `clients (${note})` : 'clients')];
  return h('g', { key: 'clients', class: 'outside', transform: `translate(${box.x} ${box.y})`,
    'data-explain': 'clients' },
  h('rect', { class: 'box', width: box.w, height: box.h, rx: wide ? 14 : 10 }), texts);
}

/** Directions in which nothing gets through. Both directions of a pair share a line. */
function cuts(state, places) {
  const { boxes } = places;
  const pairs = new Map();
  for (const { from, to } of state.cut) {
    const key = [from, to].sort().join(' ');
    pairs.set(key, [...(pairs.get(key) ?? []), { from, to }]);
  }
  return [...pairs].map(([key, directions]) => {
    const [{ from, to }] = directions;
    const [a, b] = [boxes[from], boxes[to]];
    if (!a || !b) return null;
    const points = between(a, b, places);
    const [x, y] = pointAt(points, 0.5).map(Math.round);
    const text = directions.length === 2 ? 'cut' : 'cut one way';
    const width = text.length * 7.4 + 32;
    return h('g', { key, class: 'cut', 'data-cut': key, 'data-explain': 'cut' },
      h('path', { class: 'cut-line', d: path(points) }),
      directions.length === 1 ? h('path', { class: 'cut-head', d: head(points) }) : null,
      h('rect', { class: 'cut-box', x: x - width / 2, y: y - 11, width, height: 22, rx: 11 }),
      h('path', { class: 'cut-mark', d: `M${x - width / 2 + 10} ${y - 4}l8 8m0 -8l-8 8` }),
      h('text', { class: 'cut-text', x: x + 9, y: y + 4 }, text));
  });
}

/** An arrow's head at the end of a line. */
function head(points) {
  const [[x0, y0], [x, y]] = points.slice(-2);
  const angle = Math.atan2(y - y0, x - x0);
  const corner = (turn) => `${Math.round(x - 11 * Math.cos(angle + turn))} `
    + `${Math.round(y - 11 * Math.sin(angle + turn))}`;
  return `M${corner(0.45)}L${Math.round(x)} ${Math.round(y)}L${corner(-0.45)}`;
}

/**
 * The shortest line between two boxes' sides. Boxes of the same column (or row, on a phone) that
 * are not neighbours get a bow around what is between them; frontends and catalogs a way below it.
 */
function between(a, b, { boxes, mode, height }) {
  const side = (lowA, highA, lowB, highB) => {
    if (highA < lowB) return [highA, lowB];
    if (highB < lowA) return [lowA, highB];
    const middle = (Math.max(lowA, lowB) + Math.min(highA, highB)) / 2;
    return [middle, middle];
  };
  const far = (p, q, size) => Math.abs(p - q) > size * 1.6;
  if (mode === 'wide' && a.x === b.x && far(a.y, b.y, a.h)) {
    const [p, q] = [[a.x, a.y + a.h / 2], [b.x, b.y + b.h / 2]];
    return curve(p, [p[0] - 56, p[1]], [q[0] - 56, q[1]], q);
  }
  const [left, right] = a.x < b.x ? [a, b] : [b, a];
  if (mode === 'wide' && Object.values(boxes).some((box) => box.x > left.x && box.x < right.x)) {
    const bottom = height - 12;
    const foot = (box) => [box.x + box.w / 2, box.y + box.h];
    const below = (box) => [foot(box)[0], bottom];
    return rounded([foot(a), below(a), below(b), foot(b)]);
  }
  if (mode === 'narrow' && a.y === b.y && far(a.x, b.x, a.w)) {
    const [p, q] = [[a.x + a.w / 2, a.y], [b.x + b.w / 2, b.y]];
    return curve(p, [p[0], p[1] - 44], [q[0], q[1] - 44], q);
  }
  const [ax, bx] = side(a.x, a.x + a.w, b.x, b.x + b.w);
  const [ay, by] = side(a.y, a.y + a.h, b.y, b.y + b.h);
  return [[ax, ay], [bx, by]];
}
