/**
 * The lanes: time runs down, each process has a lane, messages are arrows between them. State in,
 * SVG out.
 */
import { html } from './markup.js';
import { cut, lasting, seconds } from './format.js';
import { termClass } from '../../console/page/events.js';
import { faultsIn, firstNotBefore, messagesIn, statesIn } from './story.js';
import { marks } from './overview.js';

/** The space for the times, at the left. */
export const GUTTER = 44;
/** Above so many arrows, those that go together are drawn as one. */
export const ARROWS_MAX = 260;
/** The height of a group of arrows, in pixels. */
const GROUP = 16;
/** The width of a letter of a label, in pixels. */
const LETTER = 5.9;

/** Where times and lanes are. */
export function scales(story, view) {
  const each = (view.width - GUTTER) / story.lanes.length;
  return {
    each,
    x: (lane) => GUTTER + (lane + 0.5) * each,
    y: (at) => ((at - view.from) / view.span) * view.height,
  };
}

/** Keeps labels from lying on each other. */
export class Space {
  constructor() { this.rows = new Map(); }

  /** Takes a box, if it is free. */
  take(left, right, y, height = 12) {
    const rows = [Math.floor(y / height), Math.floor((y + height - 1) / height)];
    const isFree = rows.every((row) => (this.rows.get(row) ?? [])
      .every(([begin, end]) => right < begin || left > end));
    if (isFree) {
      for (const row of new Set(rows)) {
        this.rows.set(row, [...(this.rows.get(row) ?? []), [left, right]]);
      }
    }
    return isFree;
  }
}

/** The messages of a window that are to be drawn. */
export function visible(story, view) {
  return messagesIn(story, view.from, view.from + view.span).filter((message) => message.part !== 'cancel'
    && (view.show.routine || !message.routine)
    && (view.show.answers || message.part !== 'answer' || message.fate !== 'arrives'));
}

/** Groups messages of one kind between the same lanes at about the same height. */
export function grouped(messages, y) {
  if (messages.length <= ARROWS_MAX) return messages.map((message) => ({ message, count: 1 }));
  const groups = new Map();
  for (const message of messages) {
    const own = message.fate === 'arrives' ? '' : message.sent;
    const key = [message.from, message.to, message.family, message.part,
      Math.floor(y(message.sent) / GROUP), own].join();
    const group = groups.get(key);
    if (group) group.count += 1; else groups.set(key, { message, count: 1 });
  }
  return [...groups.values()];
}

/** The words on an arrow. */
export function words(message, count) {
  if (count > 1) return `${message.label} ×${count}`;
  if (message.part === 'answer') return message.text;
  return message.text ? `${message.label} ${message.text}` : message.label;
}

function arrow({ message, count }, { x, y, each }, at, space, view) {
  const isAway = message.fate !== 'arrives';
  const [left, right] = [x(message.from), x(message.to)];
  const [top, bottom] = [y(message.sent), y(message.until)];
  if (message.from === message.to) return '';
  const share = isAway ? 0.5 : 1;
  const endX = left + (right - left) * share;
  const endY = isAway ? top + 7 : bottom;
  const classes = ['message', message.family, message.part, message.error ? 'error' : '',
    message.repeated ? 'repeated' : '', message.sent > at ? 'later' : ''].join(' ');
  const title = `${seconds(message.sent)} ${told(view, message)}`;
  const length = Math.hypot(endX - left, endY - top) || 1;
  const [dx, dy] = [(endX - left) / length, (endY - top) / length];
  const tip = isAway
    ? html`<path class="lost" d="M${r(endX - 4)} ${r(endY - 4)}l8 8m0 -8l-8 8"/>`
    : html`<path class="tip" d="M${r(endX)} ${r(endY)}l${r(-7 * dx - 3 * dy)} ${r(-7 * dy + 3 * dx)}l${r(6 * dy)} ${r(-6 * dx)}z"/>`;
  const width = count > 1 ? Math.min(1 + Math.log2(count), 5) : null;
  return html`<g class="${classes}"><title>${title}</title><path class="hit" d="M${r(left)} ${r(top)}L${r(endX)} ${r(endY)}"/><path
    class="line" d="M${r(left)} ${r(top)}L${r(endX)} ${r(endY)}"${width ? html` style="stroke-width:${width}"` : ''}/>${tip}${
    view.show.labels ? label(message, count, { left, right, top, bottom: endY, each }, space) : ''}</g>`;
}

/** A message as a sentence. */
const told = (view, message) => {
  const names = [view.names[message.from], view.names[message.to]];
  const fate = {
    arrives: `, arrives at ${seconds(message.until)}`, lost: ', is lost', cut: ', is stopped by a partition',
    held: ', is held back by a partition', 'no-power': ', finds a machine without power',
  }[message.fate];
  const what = message.part === 'answer' ? `answer to ${message.label}` : message.label;
  return `${names[0]} → ${names[1]}: ${what}${message.text ? `: ${message.text}` : ''}${
    message.repeated ? ' (a second copy)' : ''}${fate}`;
};

function label(message, count, { left, right, top, bottom, each }, space) {
  const room = Math.max(Math.abs(right - left) - 20, each - 14);
  const letters = Math.floor(room / LETTER);
  const text = words(message, count);
  if (!text || letters < 4) return '';
  const short = cut(text.length > letters ? text.replaceAll(/ \(key \w+\)/g, '') : text, letters);
  const size = short.length * LETTER;
  const forward = right > left;
  // Beside the lane where the arrow begins, on the arrow.
  const begin = forward ? left + 9 : left - 9 - size;
  const slope = (bottom - top) / (right - left || 1);
  const y = top + slope * (begin + size / 2 - left) - 3;
  if (y < 9 || !space.take(begin, begin + size, y - 9)) return '';
  return html`<text class="words" x="${r(begin)}" y="${r(y)}">${short}</text>`;
}

function faultBands(story, view, { x, y, each }) {
  return faultsIn(story, view.from, view.from + view.span).flatMap((fault) => fault.lanes.map((lane) => {
    const top = Math.max(y(fault.begin), -4);
    const bottom = Math.min(y(fault.until), view.height + 4);
    return html`<g class="band"><title>${seconds(fault.begin)} ${fault.text}</title><rect x="${r(x(lane) - each / 2 + 1)}"
      y="${r(top)}" width="${r(each - 2)}" height="${r(Math.max(bottom - top, 3))}"/></g>`;
  }));
}

/** What a fault is called beside its lane. */
const FAULT_WORDS = {
  kill: 'killed', 'power-loss': 'no power', 'power-loss-of-all': 'no power', stop: 'stopping',
  'stop-all': 'stopping', pause: 'frozen', partition: 'cut off', 'one-way-partition': 'mute',
  'frozen-link': 'sends held back', 'slow-disk': 'slow disk', 'failed-sync': 'sync fails',
  'failed-write': 'write fails', 'full-disk': 'full disk', 'wiped-disk': 'empty disk',
  'rewound-disk': 'old disk', 'removed-member': 'removed',
};

function faultWords(story, view, { x, y, each }, space) {
  return faultsIn(story, view.from, view.from + view.span).flatMap((fault) => fault.lanes.map((lane) => {
    const top = Math.max(y(fault.begin), 0) + 12;
    const text = cut(FAULT_WORDS[fault.kind] ?? fault.kind, Math.floor((each - 4) / LETTER));
    const left = x(lane) - (text.length * LETTER) / 2;
    if (top > view.height || !space.take(left, left + text.length * LETTER, top - 10)) return '';
    return html`<text class="fault-words" x="${r(x(lane))}" y="${r(top)}">${text}</text>`;
  }));
}

function lifeline(story, lane, view, { x, y }) {
  const service = story.lanes[lane].service;
  const to = view.from + view.span;
  if (service === 'client') return html`<path class="life" d="M${r(x(lane))} 0V${view.height}"/>`;
  const changes = statesIn(story, lane, view.from, to);
  return changes.map(({ at, state }, place) => {
    const top = Math.max(y(at), 0);
    const bottom = Math.min(place + 1 < changes.length ? y(changes[place + 1].at) : view.height, view.height);
    if (bottom <= top || state.life === 'down') return '';
    const leads = state.role === 'leader' && service !== 'frontend';
    const classes = ['life', state.life, leads ? `leads ${termClass(state.term)}` : '',
      state.role === 'candidate' ? `candidate ${termClass(state.term)}` : '', state.lease ? 'lease' : ''].join(' ');
    return html`<path class="${classes}" d="M${r(x(lane))} ${r(top)}V${r(bottom)}"/>`;
  });
}

function eventMarks(story, view, { x, y, each }, space) {
  const first = firstNotBefore(story.entries, view.from);
  const last = firstNotBefore(story.entries, view.from + view.span + 1);
  return story.entries.slice(first, last).map((entry) => {
    if (entry.level !== 'notable' || entry.kind === 'fault' || entry.kind === 'phase') return '';
    const name = story.lanes[entry.lane].name;
    const text = cut(entry.text.startsWith(name) ? entry.text.slice(name.length + 1) : entry.text,
      Math.floor((each - 12) / LETTER));
    // At the right edge there is no room on the right.
    const isLast = entry.lane === story.lanes.length - 1;
    const [left, top] = [isLast ? x(entry.lane) - 7 - text.length * LETTER : x(entry.lane) + 7, y(entry.at) + 4];
    const hasRoom = view.show.labels && each > 70 && space.take(left, left + text.length * LETTER, top - 10);
    return html`<g class="event ${entry.at > view.at ? 'later' : ''}"><title>${seconds(entry.at)} ${entry.text}</title><circle
      cx="${r(x(entry.lane))}" cy="${r(y(entry.at))}" r="4"/>${
      hasRoom ? html`<text x="${r(left)}" y="${r(top)}">${text}</text>` : ''}</g>`;
  });
}

function callBars(story, view, { x, y, each }) {
  const to = view.from + view.span;
  const clients = Math.max(...story.calls.map((call) => call.client), 0) + 1;
  const step = Math.min((each - 10) / clients, 9);
  return story.calls.filter((call) => call.begin <= to && (call.end ?? call.begin + 20) >= view.from).map((call) => {
    const left = x(story.clients) - 6 - step * (clients - call.client);
    const [top, bottom] = [y(call.begin), y(call.end ?? call.begin + 20)];
    return html`<rect class="call ${call.kind} ${call.outcome}" x="${r(left)}" y="${r(top)}" width="${r(Math.max(step - 2, 2))}"
      height="${r(Math.max(bottom - top, 2))}"><title>client ${call.client} ${call.text}</title></rect>`;
  });
}

function factMarks(story, view, { x, y, each }) {
  const marksOf = story.facts.filter((fact) => fact.at >= view.from && fact.at <= view.from + view.span);
  return marksOf.map((fact) => html`<g class="fact" transform="translate(${r(x(fact.lane) - Math.min(each / 2 - 8, 16))} ${r(y(fact.at))})"><title>${
    seconds(fact.at)} ${fact.text}</title><path d="M${GUTTER - x(fact.lane)} 0H${view.width - x(fact.lane)}"/><circle r="11"/><text
    y="5">${fact.number}</text></g>`);
}

const r = (value) => Math.round(value * 10) / 10;

/**
 * @param {Object} story the story
 * @param {{at: number, from: number, span: number, width: number, height: number,
 *   show: {routine: boolean, answers: boolean, labels: boolean}}} view
 */
export function diagram(story, view) {
  const scale = scales(story, view);
  const space = new Space();
  const named = { ...view, names: story.lanes.map((lane) => lane.name) };
  const groups = grouped(visible(story, view), scale.y);
  const now = scale.y(view.at);
  const times = marks(view.from, view.from + view.span, 10).map((at) => html`<g class="time"><path
    d="M${GUTTER} ${r(scale.y(at))}H${view.width}"/>${Math.abs(scale.y(at) - now) > 13 && scale.y(at) > 6
    ? html`<text x="${GUTTER - 6}" y="${r(scale.y(at) + 4)}">${seconds(at)}</text>` : ''}</g>`);
  // Words of faults and events first: they take their places before those of messages.
  const faults = faultWords(story, named, scale, space);
  const events = eventMarks(story, named, scale, space);
  // What is wrong is on top, and gets its words first.
  const order = (group) => (group.message.fate !== 'arrives' || group.message.error ? 0 : 1)
    + (group.message.part === 'answer' ? 2 : 0);
  const arrows = [...groups].sort((one, other) => order(one) - order(other))
    .map((group) => arrow(group, scale, view.at, space, named)).reverse();
  return html`<svg class="lanes" width="${view.width}" height="${view.height}" viewBox="0 0 ${view.width} ${view.height}">
    ${times}${faultBands(story, named, scale)}${story.lanes.map((_, lane) => lifeline(story, lane, named, scale))}
    ${callBars(story, named, scale)}${arrows}${events}${faults}${factMarks(story, named, scale)}
    <g class="playhead"><path d="M${GUTTER} ${r(now)}H${view.width}"/><text x="${GUTTER - 6}" y="${r(now + 4)}">${seconds(view.at)}</text></g></svg>`;
}

/** What the colours mean, and how much is drawn. */
export function legend(story, view) {
  const shown = visible(story, view);
  const families = [...new Set(story.messages.map((message) => message.family))]
    .filter((family) => family !== 'other' || view.show.routine);
  const names = {
    order: 'orders', read: 'reads', fill: 'fetches, leases', reserve: 'reserve, fence', place: 'log entries',
    settle: 'settle', invalidate: 'invalidations', election: 'elections', member: 'membership', other: 'other',
  };
  const groups = shown.length > ARROWS_MAX ? `; ${shown.length} messages, drawn in groups: zoom in to see each` : '';
  return html`${families.map((family) => html`<span class="key ${family}"><i></i>${names[family] ?? family}</span>`)}<span
    class="note">✕ lost${groups}. The window is ${lasting(view.span)}.</span>`;
}
