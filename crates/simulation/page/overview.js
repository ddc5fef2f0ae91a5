/** The whole story in one strip: messages as a curve, faults as bars, and where the reader is. */
import { html } from './markup.js';
import { lasting, seconds } from './format.js';

const HEIGHT = 84;
const ROWS = 5;
const ROW = 6;
const CURVE = 34;

/** The moment at a place of the strip. */
export function momentAt(story, x, width) {
  const share = Math.min(Math.max(x / width, 0), 1);
  return story.from + share * (story.to - story.from);
}

/** Bars in as few rows as possible; those that find no row share the last one. */
export function rowsOf(faults, rows = ROWS) {
  const free = [];
  return [...faults].sort((one, other) => one.begin - other.begin).map((fault) => {
    let row = free.findIndex((until) => until <= fault.begin);
    if (row < 0) row = Math.min(free.length, rows - 1);
    free[row] = Math.max(free[row] ?? 0, fault.until);
    return { fault, row };
  });
}

/** Round numbers: about six marks. */
export function marks(from, to, about = 6) {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000];
  const step = steps.find((it) => (to - from) / it <= about) ?? 100_000;
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
  return found;
}

function curve(story, width, x) {
  const buckets = Math.max(Math.floor(width / 3), 1);
  const each = (story.to - story.from) / buckets || 1;
  const counts = new Array(buckets).fill(0);
  for (const message of story.messages) {
    if (message.routine) continue;
    const bucket = Math.floor((message.sent - story.from) / each);
    if (bucket >= 0 && bucket < buckets) counts[bucket] += 1;
  }
  const most = Math.max(...counts, 1);
  const points = counts.map((count, at) => `${x(story.from + at * each).toFixed(1)},${(CURVE - (count / most) * (CURVE - 6)).toFixed(1)}`);
  return html`<polygon class="area" points="0,${CURVE} ${points.join(' ')} ${width},${CURVE}"/>`;
}

/**
 * @param {Object} story
 * @param {{at: number, span: number, from: number, width: number}} view
 */
export function overview(story, view) {
  const { width } = view;
  const x = (at) => ((at - story.from) / Math.max(story.to - story.from, 1)) * width;
  const top = CURVE + 3;
  const bars = rowsOf(story.faults).map(({ fault, row }) => html`<rect class="fault" data-at="${fault.begin}"
    x="${x(Math.max(fault.begin, story.from)).toFixed(1)}" y="${top + row * ROW}" height="${ROW - 1}"
    width="${Math.max(x(fault.until) - x(Math.max(fault.begin, story.from)), 2).toFixed(1)}"><title>${
    seconds(fault.begin)} ${fault.text}</title></rect>`);
  const phases = story.entries.filter((entry) => entry.kind === 'phase').map((entry) => html`<path
    class="phase" d="M${x(entry.at).toFixed(1)} 2V${top + ROWS * ROW}"><title>${entry.text}</title></path>`);
  const labels = marks(story.from, story.to, width < 500 ? 4 : 8).map((at) => html`<text
    x="${Math.min(Math.max(x(at), 14), width - 16).toFixed(1)}" y="${HEIGHT - 3}">${lasting(at)}</text>`);
  const facts = story.facts.map((fact) => html`<g class="fact" transform="translate(${
    Math.min(Math.max(x(fact.at), 9), width - 9).toFixed(1)} 10)"><circle r="8"/><text y="4">${fact.number}</text></g>`);
  const [from, to] = [x(view.from), x(view.from + view.span)];
  return html`<svg class="track" width="${width}" height="${HEIGHT}" viewBox="0 0 ${width} ${HEIGHT}"
    aria-hidden="true">${curve(story, width, x)}${phases}${bars}
    <rect class="window" x="${from.toFixed(1)}" y="1" width="${Math.max(to - from, 2).toFixed(1)}" height="${top + ROWS * ROW - 1}"/>
    <path class="now" d="M${x(view.at).toFixed(1)} 0V${top + ROWS * ROW + 2}"/>${facts}${labels}</svg>`;
}

