/** The page: where the reader is, and what follows from it. */
import { lasting, seconds } from './format.js';
import { comfortableSpan, entriesAround, nextTime, readStory } from './story.js';
import { GUTTER, diagram, legend } from './diagram.js';
import { momentAt, overview } from './overview.js';
import { log } from './log.js';
import { cards, laneHeads } from './panel.js';
import { head } from './head.js';

const byId = (id) => document.getElementById(id);
const story = readStory(JSON.parse(byId('data').textContent));
const calm = window.matchMedia('(prefers-reduced-motion: reduce)');
const dark = window.matchMedia('(prefers-color-scheme: dark)');
/** The share of the window that has happened. */
const PAST = 0.62;
const SPAN_MIN = 10;
/** Without motion, playing shows one event after the other, each for so long, in ms. */
const STEP_MS = 1200;

const start = story.facts.length > 0 ? story.facts[1].at : (story.faultTimes[0] ?? story.from);
const view = {
  at: start,
  span: comfortableSpan(story, start),
  show: { routine: false, answers: true, labels: true, calls: false, details: false },
  playing: false,
};

/** The window around the moment: the facts stay in it if they fit. */
function placed() {
  const width = Math.max(byId('diagram').clientWidth, 280);
  const height = Math.round(Math.min(Math.max(window.innerHeight * 0.66, 400), 820));
  const from = Math.max(Math.min(view.at - view.span * PAST, story.to - view.span), story.from);
  return { ...view, from, width, height };
}

function renderLog() {
  const list = byId('log');
  list.innerHTML = log(entriesAround(story, view.at, view.show));
  const current = list.querySelector('.current');
  if (current) list.scrollTop = current.offsetTop - list.clientHeight * 0.6;
}

function render() {
  const now = placed();
  byId('lanes').innerHTML = laneHeads(story, now.at, { gutter: GUTTER, width: now.width - GUTTER });
  byId('diagram').innerHTML = diagram(story, now);
  byId('legend').innerHTML = legend(story, now);
  const strip = byId('overview');
  strip.innerHTML = overview(story, { ...now, width: Math.max(strip.clientWidth, 280) });
  strip.setAttribute('aria-valuemin', Math.round(story.from));
  strip.setAttribute('aria-valuemax', Math.round(story.to));
  strip.setAttribute('aria-valuenow', Math.round(now.at));
  strip.setAttribute('aria-valuetext', `${seconds(now.at)} seconds`);
  byId('where').textContent = `${seconds(now.at)} s of ${seconds(story.to)} s`;
  byId('span').textContent = lasting(now.span);
  byId('play').textContent = view.playing ? '❚❚ Pause' : '▶ Play';
  byId('states').innerHTML = cards(story, now.at);
  renderLog();
}

let pending = false;
function soon() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => { pending = false; render(); });
}

function go(at) {
  view.at = Math.min(Math.max(at, story.from), story.to);
  soon();
}

function zoom(factor) {
  view.span = Math.min(Math.max(view.span * factor, SPAN_MIN), Math.max(story.to - story.from, SPAN_MIN));
  soon();
}

function jump(times, back) {
  const at = nextTime(times, view.at, back);
  if (at !== null) go(at);
}

let playedAt = 0;
function play(time) {
  if (!view.playing) return;
  if (calm.matches) {
    if (time - playedAt >= STEP_MS) {
      playedAt = time;
      const at = nextTime(story.moments, view.at, false);
      if (at === null) stop(); else go(at);
    }
  } else {
    // The window passes by in six seconds.
    go(view.at + (Math.min(time - playedAt, 100) * view.span) / 6000);
    playedAt = time;
    if (view.at >= story.to) stop();
  }
  requestAnimationFrame(play);
}

function stop() {
  view.playing = false;
  soon();
}

function toggle() {
  if (view.playing) { stop(); return; }
  if (view.at >= story.to) view.at = story.from;
  view.playing = true;
  playedAt = performance.now();
  requestAnimationFrame(play);
  soon();
}

const ACTIONS = {
  play: toggle,
  'fault-back': () => jump(story.faultTimes, true),
  'fault-next': () => jump(story.faultTimes, false),
  'event-back': () => jump(story.moments, true),
  'event-next': () => jump(story.moments, false),
  'zoom-in': () => zoom(1 / 1.6),
  'zoom-out': () => zoom(1.6),
};
const KEYS = {
  ' ': 'play', F: 'fault-back', f: 'fault-next', P: 'event-back', p: 'event-back', n: 'event-next',
  N: 'event-next', '+': 'zoom-in', '=': 'zoom-in', '-': 'zoom-out',
};

document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-do], [data-at]');
  if (!button) return;
  if (button.dataset.do) ACTIONS[button.dataset.do]();
  else if (button.closest('#log, #head')) go(Number(button.dataset.at));
});

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const inControl = event.target.closest('input, summary, a');
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1, PageUp: -20, PageDown: 20 };
  const onStrip = event.target.id === 'overview';
  if (event.key in steps && (onStrip || event.key === 'ArrowLeft' || event.key === 'ArrowRight') && !inControl) {
    event.preventDefault();
    go(view.at + steps[event.key] * Math.max(view.span / 50, 1) * (event.shiftKey ? 10 : 1));
  } else if (onStrip && (event.key === 'Home' || event.key === 'End')) {
    event.preventDefault();
    go(event.key === 'Home' ? story.from : story.to);
  } else if (event.key in KEYS && !inControl && !(event.key === ' ' && event.target.closest('button'))) {
    event.preventDefault();
    ACTIONS[KEYS[event.key]]();
  } else if (event.key === '1' || event.key === '2') {
    const fact = story.facts[Number(event.key) - 1];
    if (fact && !inControl) go(fact.at);
  }
});

for (const box of document.querySelectorAll('[data-show]')) {
  box.checked = view.show[box.dataset.show];
  box.addEventListener('change', () => { view.show[box.dataset.show] = box.checked; soon(); });
}

const strip = byId('overview');
const follow = (event) => {
  const box = strip.getBoundingClientRect();
  go(momentAt(story, event.clientX - box.left, box.width));
};
strip.addEventListener('pointerdown', (event) => {
  strip.setPointerCapture(event.pointerId);
  follow(event);
});
strip.addEventListener('pointermove', (event) => {
  if (strip.hasPointerCapture(event.pointerId)) follow(event);
});

byId('diagram').addEventListener('wheel', (event) => {
  if (!event.ctrlKey && !event.shiftKey) return;
  event.preventDefault();
  zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2);
}, { passive: false });
byId('diagram').addEventListener('pointerover', (event) => {
  const title = event.target.closest('g, rect')?.querySelector('title');
  if (title) byId('hover').textContent = title.textContent;
});
byId('diagram').addEventListener('click', (event) => {
  const title = event.target.closest('g, rect')?.querySelector('title');
  if (title) byId('hover').textContent = title.textContent;
});

let chosen = null;
function showTheme() {
  const now = chosen ?? (dark.matches ? 'dark' : 'light');
  document.documentElement.dataset.theme = now;
  byId('theme').textContent = now === 'dark' ? 'Light' : 'Dark';
}
byId('theme').addEventListener('click', () => {
  chosen = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
  showTheme();
});
dark.addEventListener('change', showTheme);
showTheme();

byId('head').innerHTML = head(story);
const address = new URLSearchParams(location.hash.slice(1));
if (address.has('t')) view.at = Number(address.get('t')) * 1000 || view.at;
if (address.has('span')) view.span = Number(address.get('span')) || view.span;
window.addEventListener('resize', soon);
render();
