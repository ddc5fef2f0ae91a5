/**
 * The timeline: a curve of orders per second, a band that shows who led, and marks for what
 * happened. History and position in, SVG out.
 */
import { h } from './vnode.js';
import { ago, clock, count } from './format.js';
import { termClass } from './events.js';

const HEIGHT = 102;
const BAND = { y: 68, h: 16 };
const CURVE = { y: 14, h: 48 };
const MARKED = new Set(['control', 'unreachable', 'gap', 'leads',
  'lease_lost']);

/** A young history would be a strip at the edge of ten minutes, so the track begins with one. */
const SPANS = [
  { ms: 60_000, title: 'Last minute', step: 10_000 },
  { ms: 120_000, title: 'Last two minutes', step: 20_000 },
  { ms: 300_000, title: 'Last five minutes', step: 60_000 },
];

/** How much time the track shows, what that is called, and the time between two lines. */
export function spanOf(history) {
  const age = history.latest.at_ms - history.first.at_ms;
  const { keepMs } = history;
  return SPANS.find(({ ms }) => age <= ms && ms < keepMs)
    ?? { ms: keepMs, title: 'Last ten minutes', step: 60_000 };
}

/**
 * @param {import('./history.js').History} history
 * @param {{width: number, at: number|null}} view `at`: the moment that is shown; null is live
 */
export function timeline(history, { width, at }) {
  const end = history.latest.at_ms;
  const { ms: span, step } = spanOf(history);
  const x = (ms) => Math.round((1 - (end - ms) / span) * width * 10) / 10;
  return h('svg', {
    class: 'track', width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, 'aria-hidden': 'true',
  },
  curve(history, x, width),
  h('g', { class: 'bands' }, bands(history, x)),
  h('g', { class: 'marks' }, marks(history, span, x)),
  h('g', { class: 'minutes' }, minutes(end, span, step, x, width)),
  position(at ?? end, x, width, at !== null));
}

function curve(history, x) {
  const { points } = history;
  if (points.length < 2) return null;
  const most = Math.max(10, ...points.map((point) => point.orders));
  const y = (value) => Math.round((CURVE.y + CURVE.h * (1 - value / most)) * 10) / 10;
  const line = `M${points.map((point) => `${x(point.at_ms)} ${y(point.orders)}`).join('L')}`;
  const base = CURVE.y + CURVE.h;
  const area = `${line}V${base}H${x(points[0].at_ms)}Z`;
  const errors = points.filter((point) => point.errors > 0)
    .map((point) => h('path', { key: `e${point.at_ms}`, class: 'error-mark',
      d: `M${x(point.at_ms)} ${base}v-7` }));
  return h('g', { class: 'curve' },
    h('path', { class: 'area', d: area }), h('path', { class: 'line', d: line }), errors,
    h('text', { class: 'scale', x: 2, y: CURVE.y - 4 }, `${count(most)}/s`));
}

function bands(history, x) {
  const start = history.first.at_ms;
  return history.terms.map((term) => {
    const from = x(Math.max(term.at_ms, start));
    const width = Math.max(1.5, x(term.to_ms) - from);
    const name = term.leader ? `${term.leader} · term ${term.term}` : 'no leader';
    const text = width > name.length * 6.2 + 8 ? name : width > 26 && term.leader
      ? `${term.term}` : '';
    return h('g', { key: String(term.at_ms), class: term.leader ? `band ${termClass(term.term)}`
      : 'band none' },
    h('rect', { x: from, y: BAND.y, width, height: BAND.h }),
    text ? h('text', { x: from + 5, y: BAND.y + 12 }, text) : null);
  });
}

/** At most one mark of a topic for each few pixels. */
function marks(history, span, x) {
  const seen = new Set();
  const found = [];
  for (let i = history.events.length - 1; i >= 0 && found.length < 150; i -= 1) {
    const event = history.events[i];
    if (!MARKED.has(event.kind)) continue;
    const { topic } = event;
    const place = `${topic}:${Math.round(event.at_ms / (span / 200))}`;
    if (seen.has(place)) continue;
    seen.add(place);
    const at = x(event.at_ms);
    found.push(h('path', { key: place, class: `event mark-${topic}`,
      d: topic === 'control' ? `M${at} 2v60m-4 -60h8l-4 6z` : `M${at} 52v10` }));
  }
  return found;
}

function minutes(end, span, everyMs, x, width) {
  const lines = [];
  const step = width < 600 ? everyMs * 2 : everyMs;
  for (let ms = Math.ceil((end - span) / step) * step; ms < end; ms += step) {
    if (x(ms) < 50 || x(ms) > width - 40) continue;
    lines.push(h('path', { key: `l${ms}`, d: `M${x(ms)} 14v72` }),
      h('text', { key: `t${ms}`, x: x(ms), y: HEIGHT - 4, 'text-anchor': 'middle' },
        step < 60_000 ? clock(ms) : clock(ms).slice(0, 5)));
  }
  return lines;
}

function position(at, x, width, scrubbed) {
  const place = Math.min(width - 1.5, Math.max(1.5, x(at)));
  return h('g', { class: scrubbed ? 'position scrubbed' : 'position' },
    h('path', { d: `M${place} 0v86` }),
    scrubbed ? h('circle', { cx: place, cy: 7, r: 6 }) : null);
}

/**
 * What the slider says of itself.
 *
 * @param {import('./history.js').History} history
 * @param {number|null} at
 */
export function sliderAttributes(history, at) {
  const end = history.latest.at_ms;
  const here = at ?? end;
  return {
    'aria-valuemin': Math.round((history.first.at_ms - end) / 1000),
    'aria-valuemax': 0,
    'aria-valuenow': Math.round((here - end) / 1000),
    'aria-valuetext': at === null ? 'live' : `${clock(here)}, ${ago(end - here)}`,
  };
}

/** The time at a share (0 to 1) of the track's width. */
export function timeAt(history, share) {
  const end = history.latest.at_ms;
  const at = end - (1 - Math.min(1, Math.max(0, share))) * spanOf(history).ms;
  return Math.max(history.first.at_ms, at);
}

const icon = (d) => h('svg', { width: 14, height: 14, viewBox: '0 0 14 14', 'aria-hidden': 'true' },
  h('path', { d }));
const ICONS = {
  previous: icon('M1 1h2.4v12H1zM13 1v12L4.4 7z'),
  next: icon('M10.6 1H13v12h-2.4zM1 1v12l8.6-6z'),
  pause: icon('M2 1h3.6v12H2zM8.4 1H12v12H8.4z'),
  play: icon('M2.5 1v12l10-6z'),
};

/** The bar above the track: where the view is, and the buttons that move it. */
export function transport(history, { at, playing }) {
  const end = history.latest.at_ms;
  const here = at ?? end;
  const button = (action, text, label, extra = {}) => h('button', {
    key: action, type: 'button', 'data-action': action, 'aria-label': label, title: label, ...extra,
  }, text);
  return [
    button('previous_event', ICONS.previous, 'Previous event'),
    at === null || playing
      ? button('pause', ICONS.pause, 'Pause: hold the picture')
      : button('play', ICONS.play, 'Play from here'),
    button('next_event', ICONS.next, 'Next event', { disabled: at === null }),
    h('span', { key: 'where', class: at === null ? 'where' : 'where scrubbed' },
      h('b', null, clock(here)), at === null ? '' : ` ${ago(end - here)}`),
    h('button', { key: 'live', type: 'button', id: 'live', 'data-action': 'live',
      class: at === null ? 'live on' : 'live', 'aria-pressed': at === null ? 'true' : 'false' },
    h('i', { class: 'lamp', 'aria-hidden': 'true' }), at === null ? 'Live' : 'Back to live'),
  ];
}
