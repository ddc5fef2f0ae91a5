/**
 * Where everything in the diagram stands, as numbers in pixels. Orders move from left to right on
 * a wide page (clients, frontends, order replicas, catalog), and from top to bottom on a phone.
 *
 * @typedef {{x: number, y: number, w: number, h: number}} Box
 * @typedef {{mode: 'wide'|'narrow', width: number, height: number, boxes: Object<string, Box>,
 *   clients: Box}} Layout
 */
import { ofService } from './state.js';

/** Below this width the columns would not have room for the flows between them. */
const NARROW_BELOW = 780;

const CACHE_ROW = 19;
/** The lowest lane: fills and invalidations pass below the order replicas. */
const LANE = 52;

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** How high a frontend's box is: it has a row for each place in its cache. */
export function frontendHeight(process) {
  return 84 + CACHE_ROW * clamp(process?.cache?.capacity ?? 5, 1, 8);
}
export { CACHE_ROW };

/**
 * @param {import('./state.js').State} state
 * @param {number} width pixels available
 * @returns {Layout}
 */
export function layout(state, width) {
  return width < NARROW_BELOW ? narrow(state, width) : wide(state, width);
}

function wide(state, width) {
  const frontends = ofService(state, 'frontend');
  const orders = ofService(state, 'order');
  const catalogs = ofService(state, 'catalog');
  const pad = 4;
  const inner = width - 2 * pad;
  // Widths of the four columns and the three gaps between them, which carry the flows' numbers.
  const clientsW = clamp(inner * 0.085, 88, 112);
  const frontendW = clamp(inner * 0.18, 140, 220);
  const orderW = clamp(inner * 0.21, 150, 250);
  const catalogW = clamp(inner * 0.17, 136, 210);
  const gaps = inner - clientsW - frontendW - orderW - catalogW;
  const [gapA, gapB] = [gaps * 0.26, gaps * 0.33];
  const x1 = pad + clientsW + gapA;
  const x2 = x1 + frontendW + gapB;
  const x3 = pad + inner - catalogW;

  const orderH = 104;
  const gapY = orders.length > 3 ? 18 : 28;
  const stack = (heights, gap) => heights.reduce((sum, height) => sum + height + gap, -gap);
  const heights = frontends.map(frontendHeight);
  const content = Math.max(
    stack(heights, 28), stack(orders.map(() => orderH), gapY),
    stack(catalogs.map(() => orderH), 28), 160);
  const top = 8;
  const boxes = {};
  const place = (list, heightOf, x, w, gap) => {
    let y = top + (content - stack(list.map(heightOf), gap)) / 2;
    for (const process of list) {
      boxes[process.name] = { x, y, w, h: heightOf(process) };
      y += heightOf(process) + gap;
    }
  };
  place(frontends, frontendHeight, x1, frontendW, 28);
  place(orders, () => orderH, x2, orderW, gapY);
  place(catalogs, () => orderH, x3, catalogW, 28);
  return {
    mode: 'wide', width, height: top + content + LANE, boxes,
    clients: { x: pad, y: top + content / 2 - 46, w: clientsW, h: 92 },
  };
}

function narrow(state, width) {
  const margin = 18;
  const inner = width - 2 * margin;
  const boxes = {};
  let y = 4;
  const clients = { x: margin, y, w: inner, h: 40 };
  y += 40 + 54;
  const row = (service, heightOf, gap, most) => {
    const processes = ofService(state, service);
    for (let start = 0; start < processes.length; start += most) {
      const line = processes.slice(start, start + most);
      const columns = Math.min(most, processes.length);
      const w = Math.min((inner - gap * (columns - 1)) / columns, 240);
      const height = Math.max(...line.map(heightOf));
      const used = w * line.length + gap * (line.length - 1);
      line.forEach((process, index) => {
        const x = margin + (inner - used) / 2 + index * (w + gap);
        boxes[process.name] = { x, y, w, h: height };
      });
      y += height + 12;
    }
    y -= processes.length > 0 ? 12 : 0;
  };
  const orders = ofService(state, 'order').length;
  row('frontend', frontendHeight, 12, 2);
  y += 62;
  row('order', () => 104, 8, orders > 3 ? Math.ceil(orders / 2) : 3);
  y += 84;
  row('catalog', () => 92, 10, 3);
  return { mode: 'narrow', width, height: y + 8, boxes, clients };
}
