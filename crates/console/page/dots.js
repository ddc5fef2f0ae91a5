/**
 * Dots that travel along the diagram's ways: one for each order or product, while there are few.
 * Which dots a frame starts is computed here without the DOM; `Dots` moves them.
 */
import { edges, pointAt } from './edges.js';
import { resolve } from './state.js';

/** More than this on one way in a frame is shown as a flow with a number only. */
const MOST_PER_FLOW = 3;
/** Dots on the page at the same time. */
const MOST = 60;
/** How long a dot travels. Real messages take about a hundredth of that. */
const TRAVEL_MS = 520;
/** The steps of an order follow each other, although they happen within the same frame. */
const DELAY_MS = { read: 0, fill: 200, order: 0, pass: 350, reserve: 700, invalidate: 950,
  place: 1100, settle: 1700 };

/**
 * The dots that a state's frame starts.
 *
 * @param {import('./state.js').State} state
 * @param {import('./layout.js').Layout} layout
 * @returns {{points: [number, number][], kind: string, delay: number}[]}
 */
export function dotsOf(state, layout) {
  if (state.flows.length === 0) return [];
  const ways = new Map(edges(state, layout).map((edge) => [edge.key, edge]));
  const dots = [];
  for (const flow of state.flows) {
    const from = resolve(state, flow.from);
    const edge = ways.get(`${from}>${resolve(state, flow.to)}:${flow.kind}`);
    if (!edge || flow.items > MOST_PER_FLOW) continue;
    const step = flow.kind === 'order' && from !== 'clients' ? 'pass' : flow.kind;
    for (let i = 0; i < flow.items; i += 1) {
      dots.push({ points: edge.points, kind: flow.kind, delay: DELAY_MS[step] + i * 90 });
    }
  }
  return dots;
}

/** Moves dots in the group `[data-dots]` of the diagram. */
export class Dots {
  constructor() {
    /** @type {{points: [number, number][], start: number, element: SVGElement}[]} */
    this.moving = [];
    this.free = [];
    this.running = false;
  }

  /** Starts dots; those beyond the limit are left out, the numbers on the flows have them. */
  start(parent, dots) {
    const now = performance.now();
    for (const { points, kind, delay } of dots) {
      if (this.moving.length >= MOST) break;
      const element = this.free.pop()
        ?? document.createElementNS('http://www.w3.org/2000/svg', 'circle');
      element.setAttribute('class', `dot ${kind}`);
      element.setAttribute('r', 4);
      element.setAttribute('visibility', 'hidden');
      parent.append(element);
      this.moving.push({ points, start: now + delay, element });
    }
    if (!this.running && this.moving.length > 0) {
      this.running = true;
      requestAnimationFrame((time) => this.move(time));
    }
  }

  move(time) {
    this.moving = this.moving.filter(({ points, start, element }) => {
      const share = (time - start) / TRAVEL_MS;
      if (share >= 1) {
        element.remove();
        this.free.push(element);
        return false;
      }
      if (share >= 0) {
        const eased = share < 0.5 ? 2 * share * share : 1 - 2 * (1 - share) * (1 - share);
        const [x, y] = pointAt(points, eased);
        element.setAttribute('cx', x);
        element.setAttribute('cy', y);
        element.setAttribute('visibility', 'visible');
      }
      return true;
    });
    this.running = this.moving.length > 0;
    if (this.running) requestAnimationFrame((next) => this.move(next));
  }

  /** Takes all dots away: the view jumps to another moment, or the diagram has a new size. */
  clear() {
    for (const { element } of this.moving) element.remove();
    this.moving = [];
  }
}
