/** The page: starts the feed, and shows the state of now, or of the moment that was chosen. */
import { h } from './vnode.js';
import { patch } from './patch.js';
import { History, eventKey } from './history.js';
import { leaderOf, ofService } from './state.js';
import { Feed } from './feed.js';
import { headline } from './headline.js';
import { hint } from './hint.js';
import { numbers } from './numbers.js';
import { diagram } from './diagram.js';
import { layout } from './layout.js';
import { Dots, dotsOf } from './dots.js';
import { spanOf, timeline, transport, sliderAttributes } from './timeline.js';
import { choices, inspector } from './inspector.js';
import { controls } from './controls.js';
import { ledgers } from './ledgers.js';
import { stock } from './stock.js';
import { glossary } from './glossary.js';
import { eventLine } from './sentence.js';
import { clock } from './format.js';
import { startTheme } from './theme.js';
import { startTooltip } from './tooltip.js';
import { startScrubbing } from './scrub.js';
import { startActions } from './actions.js';

/** Lines of the log on the page; older ones are reached by scrubbing back. */
const LOG_LINES = 120;

const byId = (id) => document.getElementById(id);
const still = window.matchMedia('(prefers-reduced-motion: reduce)');

/** Everything the page remembers, except for the history. */
const app = {
  about: { controls: false, products: [], store: null, keep_s: 600, frame_ms: 250 },
  history: new History(),
  /** The moment that is shown; null: now. */
  at: null,
  playing: false,
  selected: null,
  picking: false,
  picked: [],
  cutFrom: null,
  cutTo: null,
  bothWays: true,
  done: new Set(),
  get live() {
    return this.at === null;
  },
  get state() {
    return this.at === null ? this.history.latest : this.history.at(this.at);
  },
  schedule,
};

let scheduled = false;
/** Renders with the next picture. Hidden tabs draw none, so they only keep the history. */
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    render();
  });
}

function render() {
  const { about, history, state } = app;
  const selected = choose(state);
  const view = { ...app, live: app.live, selected, controls: about.controls,
    from: app.cutFrom ?? state.names[0] ?? '', to: app.cutTo ?? state.names[state.names.length - 1]
      ?? '' };
  renderHeadline(state);
  patch(byId('hint'), hint(state, about, view));
  patch(byId('numbers'), numbers(state));
  patch(byId('diagram'), diagram(state, { width: width('diagram'), selected, picked: app.picked }));
  renderTimeline(history);
  patch(byId('choices'), choices(state, selected));
  patch(byId('inspector'), inspector(state, view));
  patch(byId('controls'), controls(state, about, view));
  patch(byId('ledgers'), ledgers(state));
  patch(byId('stock'), stock(state));
  renderLog();
}

/** The process that the reader chose, else the order leader. */
function choose(state) {
  if (app.selected && state.processes[app.selected]) return app.selected;
  return (leaderOf(state, 'order') ?? ofService(state, 'order')[0])?.name ?? state.names[0] ?? null;
}

function width(id) {
  return Math.max(300, Math.floor(byId(id).clientWidth));
}

function renderHeadline(state) {
  const { level, first, rest } = headline(state);
  const element = byId('headline');
  element.dataset.level = level;
  patch(element, [h('strong', null, app.live ? first : `At ${clock(state.at_ms)}: ${first}`),
    rest ? ` ${rest}` : null]);
  document.body.dataset.view = app.live ? 'live' : 'past';
}

let drawn = '';
/** The timeline has a new point once a second, so it is not drawn with each frame. */
function renderTimeline(history) {
  const element = byId('timeline');
  const view = { width: width('timeline'), at: app.at };
  const { points, events, terms } = history;
  const now = [points.at(-1)?.at_ms, events.length, events.at(-1)?.at_ms, terms.length, view.width,
    view.at].join();
  if (now !== drawn) patch(element, timeline(history, view));
  drawn = now;
  for (const [name, value] of Object.entries(sliderAttributes(history, app.at))) {
    element.setAttribute(name, value);
  }
  patch(byId('transport'), transport(history, app));
  setText('span', spanOf(history).title);
}

function renderLog() {
  const until = app.live ? Infinity : app.state.at_ms;
  const events = app.history.eventsUntil(until, {
    limit: LOG_LINES, details: byId('details').checked,
  });
  patch(byId('log'), events.length === 0
    ? h('li', { key: 'empty', class: 'empty' }, 'Nothing notable yet.')
    : events.map((event, i) => logLine(event, events[i + 1] ?? null)));
}

/** Lines that are on the page already: the same node again costs nothing. */
const lines = new WeakMap();

function logLine(event, previous) {
  const known = lines.get(event);
  if (known?.previous === previous) return known.line;
  const line = eventLine(event, previous, { key: eventKey(event) });
  lines.set(event, { previous, line });
  return line;
}

const dots = new Dots();

/** @param {Object|null} frame null: the history was loaded anew */
function onChange(frame) {
  schedule();
  if (frame && app.live && !still.matches && !document.hidden) startDots(app.history.latest);
}

export function startDots(state) {
  const parent = document.querySelector('[data-dots]');
  if (parent) dots.start(parent, dotsOf(state, layout(state, width('diagram'))));
}

export const clearDots = () => dots.clear();

function onAbout(about) {
  app.about = about;
  app.history.keepMs = (about.keep_s ?? 600) * 1000;
  byId('heal-all').hidden = !about.controls;
}

function onConnection(live) {
  document.body.dataset.connection = live ? 'live' : 'reconnecting';
  setText('connection-text', live ? 'Connected' : 'Reconnecting …');
}

/** Screen readers read a text again that is set again. */
function setText(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

byId('legend').textContent = still.matches
  ? 'Numbers are per second.'
  : 'Numbers are per second. Single orders are dots, slowed down to be seen.';
byId('details').addEventListener('change', schedule);
startTheme(byId('theme'));
startTooltip(byId('tooltip'));
patch(byId('glossary'), glossary());
startScrubbing(app, byId('timeline'), { startDots, clearDots, still });
startActions(app);
new ResizeObserver(() => {
  dots.clear();
  schedule();
}).observe(byId('diagram'));
document.addEventListener('visibilitychange', () => document.hidden && dots.clear());
new Feed(app.history, { onAbout, onChange, onConnection }).start();
