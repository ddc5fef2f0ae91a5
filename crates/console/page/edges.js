/**
 * The ways between processes: which there are, and their lines. A line is a list of points, so that
 * a dot can be put anywhere on it without the DOM.
 *
 * @typedef {{key: string, from: string, to: string, kind: string, d: string,
 *   points: [number, number][], label: {x: number, y: number, anchor: string}}} Edge
 */
import { leaderOf, ofService } from './state.js';

/**
 * The ways that orders and products take now. They depend on who leads.
 *
 * @param {import('./state.js').State} state
 * @param {import('./layout.js').Layout} layout
 * @returns {Edge[]}
 */
export function edges(state, layout) {
  const draw = layout.mode === 'wide' ? WIDE : NARROW;
  const order = leaderOf(state, 'order');
  const catalog = leaderOf(state, 'catalog') ?? ofService(state, 'catalog')[0];
  const frontends = ofService(state, 'frontend');
  const found = [];
  const add = (from, to, kind, index = 0) => {
    const [a, b] = [boxOf(layout, from), boxOf(layout, to)];
    if (!a || !b) return;
    const { points, label } = draw[kind](a, b, { index, of: frontends.length, layout });
    found.push({ key: `${from}>${to}:${kind}`, from, to, kind, points, label, d: path(points) });
  };
  frontends.forEach(({ name }, index) => {
    add('clients', name, 'read', index);
    add('clients', name, 'order', index);
    if (order) found.push(...passOn(name, order.name, index, frontends.length, layout, draw));
    if (catalog) {
      add(name, catalog.name, 'fill', index);
      add(catalog.name, name, 'invalidate', index);
    }
  });
  if (order && catalog) {
    add(order.name, catalog.name, 'reserve');
    add(order.name, catalog.name, 'settle');
  }
  if (order) {
    for (const { name } of ofService(state, 'order')) {
      if (name !== order.name) add(order.name, name, 'place');
    }
  }
  return found;
}

/** Orders have the same kind from clients to frontends and on to the leader, but other lines. */
function passOn(from, to, index, of, layout, draw) {
  const { points, label } = draw.pass(layout.boxes[from], layout.boxes[to], { index, of, layout });
  return [{ key: `${from}>${to}:order`, from, to, kind: 'order', points, label, d: path(points) }];
}

function boxOf(layout, name) {
  return name === 'clients' ? layout.clients : layout.boxes[name];
}

/** Points of a curve that leaves and arrives in the given directions. */
export function curve([x0, y0], [x1, y1], [x2, y2], [x3, y3], steps = 24) {
  const points = [];
  for (let step = 0; step <= steps; step += 1) {
    const t = step / steps;
    const s = 1 - t;
    const at = (a, b, c, d) => s ** 3 * a + 3 * s * s * t * b + 3 * s * t * t * c + t ** 3 * d;
    points.push([at(x0, x1, x2, x3), at(y0, y1, y2, y3)]);
  }
  return points;
}

const across = (a, b) => curve(a, [(a[0] + b[0]) / 2, a[1]], [(a[0] + b[0]) / 2, b[1]], b);
const down = (a, b) => curve(a, [a[0], (a[1] + b[1]) / 2], [b[0], (a[1] + b[1]) / 2], b);

/** A line along corners, each of them rounded. */
export function rounded(corners, radius = 12) {
  const points = [corners[0]];
  for (let i = 1; i < corners.length - 1; i += 1) {
    const [before, here, next] = [corners[i - 1], corners[i], corners[i + 1]];
    const towards = (to) => {
      const length = Math.hypot(to[0] - here[0], to[1] - here[1]) || 1;
      const r = Math.min(radius, length / 2);
      return [0, 1].map((axis) => here[axis] + ((to[axis] - here[axis]) * r) / length);
    };
    points.push(...curve(towards(before), here, here, towards(next), 5));
  }
  points.push(corners[corners.length - 1]);
  return points;
}

const spread = (index, of, step) => (index - (of - 1) / 2) * step;

const WIDE = {
  order: (a, b) => {
    const end = [b.x, b.y + 26];
    return { points: across([a.x + a.w, a.y + a.h * 0.34], end), label: before(end, -8) };
  },
  read: (a, b) => {
    const end = [b.x, b.y + b.h - 30];
    return { points: across([a.x + a.w, a.y + a.h * 0.66], end), label: before(end, 16) };
  },
  pass: (a, b, { index, of }) => {
    const start = [a.x + a.w, a.y + 26];
    return { points: across(start, [b.x, b.y + b.h / 2 + spread(index, of, 16)]),
      label: { x: start[0] + 10, y: start[1] - 8, anchor: 'start' } };
  },
  fill: (a, b, { index, of, layout }) => lane(a, b, index, of, layout, 0),
  invalidate: (a, b, { index, of, layout }) => {
    const { points, label } = lane(b, a, index, of, layout, 1);
    return { points: points.reverse(), label };
  },
  reserve: (a, b) => {
    const end = [b.x, b.y + 30];
    return { points: across([a.x + a.w, a.y + 30], end), label: before(end, -8) };
  },
  settle: (a, b) => {
    const end = [b.x, b.y + 58];
    return { points: across([a.x + a.w, a.y + 58], end), label: before(end, 16) };
  },
  place: (a, b) => {
    const [x, bend] = [a.x + a.w, 30 + Math.abs(b.y - a.y) * 0.1];
    const from = [x, a.y + (b.y > a.y ? a.h - 18 : 18)];
    const to = [x, b.y + b.h / 2];
    const points = curve(from, [x + bend, from[1]], [x + bend, to[1]], to);
    // Beside the box's lower corner: in its middle are the numbers on the way to the catalog.
    return { points, label: { x: x + 10, y: b.y > a.y ? b.y + b.h - 4 : to[1] - 8,
      anchor: 'start' } };
  },
};

const before = ([x, y], dy) => ({ x: x - 12, y: y + dy, anchor: 'end' });

/** From a frontend down, below the order replicas, and up to the catalog. */
function lane(a, b, index, of, layout, side) {
  const track = index * 2 + side;
  const step = of > 3 ? 5 : 8;
  const y = layout.height - 10 - track * step;
  const x0 = a.x + a.w + 16 + (of * 2 - track) * step;
  const x1 = b.x - 18 - (of * 2 - track) * step;
  const start = a.y + a.h - 22 - (1 - side) * 10;
  const end = b.y + b.h - 14 - track * 5;
  const points = rounded([[a.x + a.w, start], [x0, start], [x0, y], [x1, y], [x1, end],
    [b.x, end]]);
  const label = { x: a.x + a.w + 10, y: start + (side ? 16 : -8), anchor: 'start' };
  return { points, label };
}

const NARROW = {
  order: (a, b) => {
    const start = [b.x + b.w * 0.5 - 10, a.y + a.h];
    return { points: [start, [start[0], b.y]],
      label: { x: start[0] - 8, y: b.y - 34, anchor: 'end' } };
  },
  read: (a, b) => {
    const start = [b.x + b.w * 0.5 + 10, a.y + a.h];
    return { points: [start, [start[0], b.y]], label: beside(start[0], b.y - 14) };
  },
  pass: (a, b, { index, of }) => {
    const start = [a.x + a.w * 0.5, a.y + a.h];
    return { points: down(start, [b.x + b.w / 2 + spread(index, of, 14), b.y]),
      label: beside(start[0], start[1] + 18) };
  },
  fill: (a, b, { index, layout }) => margin(a, b, index, layout, 0),
  invalidate: (a, b, { index, layout }) => {
    const { points, label } = margin(b, a, index, layout, 1);
    return { points: points.reverse(), label };
  },
  reserve: (a, b) => {
    const end = [b.x + b.w / 2 - 12, b.y];
    return { points: down([a.x + a.w / 2 - 10, a.y + a.h], end),
      label: { x: end[0] - 8, y: end[1] - 12, anchor: 'end' } };
  },
  settle: (a, b) => {
    const end = [b.x + b.w / 2 + 12, b.y];
    return { points: down([a.x + a.w / 2 + 10, a.y + a.h], end),
      label: beside(end[0], end[1] - 12) };
  },
  place: (a, b) => {
    if (a.y !== b.y) return otherRow(a, b);
    const y = a.y + a.h;
    const from = [a.x + a.w * (b.x > a.x ? 0.8 : 0.2), y];
    const to = [b.x + b.w / 2, y];
    return { points: curve(from, [from[0], y + 28], [to[0], y + 28], to),
      label: { x: to[0], y: y + 34, anchor: 'middle' } };
  },
};

/** More than three replicas take two rows on a phone. */
function otherRow(a, b) {
  const below = b.y > a.y;
  const points = down([a.x + a.w / 2, below ? a.y + a.h : a.y],
    [b.x + b.w * 0.75, below ? b.y : b.y + b.h]);
  return { points, label: { x: b.x + b.w - 6, y: b.y + 16, anchor: 'end' } };
}

const beside = (x, y) => ({ x: x + 8, y, anchor: 'start' });

/** On a phone fills and invalidations run along the page's edges, left and right in turn. */
function margin(a, b, index, layout, side) {
  const left = index % 2 === 0;
  const edge = 5 + side * 7;
  const x = left ? edge : layout.width - edge;
  const start = [left ? a.x : a.x + a.w, a.y + a.h - 30 + side * 10];
  const end = [left ? b.x : b.x + b.w, b.y + 30 + side * 12];
  const points = rounded([start, [x, start[1]], [x, end[1]], end], 6);
  return { points, label: { x: x + (left ? 5 : -5), y: b.y - 16 - side * 18,
    anchor: left ? 'start' : 'end' } };
}

const round = (value) => Math.round(value * 10) / 10;

/** The points as an SVG path. */
export function path(points) {
  return points.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${round(x)} ${round(y)}`).join('');
}

/** The point at a share (0 to 1) of a line's length. */
export function pointAt(points, share) {
  const lengths = points.slice(1)
    .map(([x, y], i) => Math.hypot(x - points[i][0], y - points[i][1]));
  let left = lengths.reduce((sum, length) => sum + length, 0) * Math.min(1, Math.max(0, share));
  for (let i = 0; i < lengths.length; i += 1) {
    if (left <= lengths[i]) {
      const t = lengths[i] === 0 ? 0 : left / lengths[i];
      const [[x0, y0], [x1, y1]] = [points[i], points[i + 1]];
      return [x0 + (x1 - x0) * t, y0 + (y1 - y0) * t];
    }
    left -= lengths[i];
  }
  return points[points.length - 1];
}
