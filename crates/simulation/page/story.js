/**
 * The story as a model: what the page asks about it. Everything here is pure; times are virtual
 * milliseconds.
 */

/** Messages that take longer than this are looked for one by one. */
const LONG_MS = 400;
/** The order of the lanes, from clients inwards. */
const SERVICES = ['client', 'frontend', 'catalog', 'order'];
/** Notable in an operator's log, but not in a story. */
const DULL = new Set(['checkpoint_made', 'leader_found', 'fill_refused']);
const FATES = ['arrives', 'lost', 'cut', 'held', 'no-power'];

/** The place of the first item that is not before `at`. */
export function firstNotBefore(items, at, time = (item) => item.at) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (time(items[middle]) < at) low = middle + 1; else high = middle;
  }
  return low;
}

/** @param {Object} data the JSON in the page */
export function readStory(data) {
  const lanes = data.lanes.map((lane, id) => ({ ...lane, id }))
    .sort((one, other) => SERVICES.indexOf(one.service) - SERVICES.indexOf(other.service));
  const column = [];
  lanes.forEach((lane, at) => { column[lane.id] = at; });
  const messages = data.messages.map(([sent, takes, from, to, kind, part, fate, text, flags]) => ({
    sent,
    until: takes < 0 ? sent + 1 : sent + takes,
    from: column[from],
    to: column[to],
    ...data.kinds[kind],
    part: ['request', 'answer', 'cancel'][part],
    fate: FATES[fate],
    text: data.texts[text],
    repeated: (flags & 1) > 0,
    error: (flags & 2) > 0,
  })).sort((one, other) => one.sent - other.sent);
  const faults = data.faults.map((fault) => ({
    ...fault,
    lanes: fault.lanes.map((lane) => column[lane]),
    cuts: fault.cuts.map((lane) => column[lane]),
    at: fault.begin,
    until: fault.end ?? data.to,
  }));
  const facts = (data.broken?.facts ?? [])
    .map((fact, at) => ({ ...fact, lane: column[fact.lane], number: at + 1 }));
  const events = data.events.map(([at, lane, notable, kind, topic, text]) => ({
    at, lane: column[lane], level: notable && !DULL.has(kind) ? 'notable' : 'detail', kind, topic, text,
  }));
  const clients = column[data.lanes.findIndex((lane) => lane.service === 'client')];
  const calls = data.calls.map(([client, begin, end, kind, outcome, text]) => ({
    client, begin, end: end < 0 ? null : end, kind, outcome, text, at: end < 0 ? begin : end,
  }));
  const ofCalls = calls.map((call) => ({
    at: call.at, lane: clients, level: 'call', kind: call.kind, topic: call.kind, outcome: call.outcome,
    text: `client ${call.client} ${call.text}`,
  }));
  const ofFacts = facts.map((fact) => ({ ...fact, level: 'fact', kind: 'fact', topic: 'fact' }));
  const entries = [...events, ...ofCalls, ...ofFacts].map((entry, place) => ({ ...entry, place }))
    .sort((one, other) => one.at - other.at || (one.level === 'fact') - (other.level === 'fact')
      || one.place - other.place);
  const states = lanes.map(() => []);
  for (const [at, lane, state] of data.states) states[column[lane]].push({ at, state });
  return {
    ...data, lanes, messages, faults, facts, entries, calls, states, clients,
    short: messages.filter((message) => message.until - message.sent <= LONG_MS),
    long: messages.filter((message) => message.until - message.sent > LONG_MS),
    moments: moments(entries, (entry) => entry.level === 'notable' || entry.level === 'fact'),
    faultTimes: [...new Set(faults.map((fault) => fault.begin))].sort((one, other) => one - other),
  };
}

const moments = (entries, which) => [...new Set(entries.filter(which).map((entry) => entry.at))];

/** The state of a process at an instant; `null` before it was first started. */
export function stateAt(story, lane, at) {
  const states = story.states[lane];
  const next = firstNotBefore(states, at + 1);
  return next > 0 ? states[next - 1].state : null;
}

/** The times at which a lane's state changes within a window, with the state from then on. */
export function statesIn(story, lane, from, to) {
  const states = story.states[lane];
  const first = Math.max(firstNotBefore(states, from + 1) - 1, 0);
  return states.slice(first, firstNotBefore(states, to + 1));
}

/** The messages that are under way within a window. */
export function messagesIn(story, from, to) {
  const sent = (message) => message.sent;
  const first = firstNotBefore(story.short, from - LONG_MS, sent);
  const found = story.short.slice(first, firstNotBefore(story.short, to + 1, sent))
    .filter((message) => message.until >= from);
  const long = story.long.filter((message) => message.sent <= to && message.until >= from);
  return long.length > 0 ? [...long, ...found] : found;
}

/** The faults that last within a window. */
export const faultsIn = (story, from, to) => story.faults
  .filter((fault) => fault.begin <= to && fault.until >= from);

/** The next time in a sorted list after `at`, or before it. `null` if there is none. */
export function nextTime(times, at, back) {
  const found = back
    ? times.filter((time) => time < at).pop()
    : times.find((time) => time > at);
  return found ?? null;
}

/** The entries of the log around an instant, and the place of the last one that has happened. */
export function entriesAround(story, at, show, count = 60) {
  const entries = story.entries.filter((entry) => entry.level === 'notable' || entry.level === 'fact'
    || (entry.level === 'call' && show.calls) || (entry.level === 'detail' && show.details));
  const current = firstNotBefore(entries, at + 1) - 1;
  const first = Math.max(Math.min(current - count, entries.length - 2 * count), 0);
  const shown = entries.slice(first, first + 2 * count);
  return { entries: shown, current: current - first, before: first, after: entries.length - first - shown.length };
}

/** A window before `at` in which about `count` messages can be seen, in ms. */
export function comfortableSpan(story, at, count = 34) {
  const loud = story.messages.filter((message) => !message.routine);
  const last = firstNotBefore(loud, at + 1, (message) => message.sent);
  const first = loud[Math.max(last - count, 0)];
  const span = first ? (at - first.sent) * 1.6 : 0;
  const whole = Math.max(story.to - story.from, 40);
  const facts = story.facts.length > 0 ? (story.facts[1].at - story.facts[0].at) * 1.9 : 0;
  let wanted = span;
  if (facts > span && facts < span * 3) wanted = facts;
  if (facts > 0 && facts < span / 3) wanted = Math.min(span, Math.max(facts * 2, 240));
  return Math.min(Math.max(wanted, 30), 1500, whole);
}
