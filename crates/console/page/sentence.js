/**
 * Protocol events as lines of a log. The sentences come from the processes; here they only get
 * their colours: names of processes, and terms.
 */
import { h } from './vnode.js';
import { preciseClock } from './format.js';
import { termClass, topicOf } from './events.js';

export const TOPIC_NAMES = {
  election: 'election', member: 'group', order: 'order', cache: 'cache', fault: 'fault',
  good: 'back', control: 'you', gap: 'gap', other: 'event',
};

/** Names of processes: `order-2`, `frontend`, `frontend-x2x1z`, `catalog`. */
const PROCESS = /^(?:(?:order|catalog)-\d+|frontend-[a-z\d]+|frontend|catalog)$/;
/** "The catalog" and "the catalog group" are no names. */
const PARTS = new RegExp('((?<![\\w-])(?:(?:order|catalog)-\\d+|frontend-[a-z\\d]+'
  + '|(?<!\\b(?:the|a|each|every|its) )(?:frontend|catalog)(?! group| leader| replica| process))'
  + '(?![\\w-])|\\bterm \\d+\\b)');

/** A sentence, with process names and terms marked. */
export function sentence(text) {
  // What the pattern captures is at the odd places.
  return text.split(PARTS).map((part, i) => {
    if (i % 2 === 0) return part;
    if (!part.startsWith('term ')) return h('b', { class: 'name' }, part);
    return h('span', { class: `term ${termClass(Number(part.slice(5)))}` }, part);
  });
}

/**
 * The whole sentence of an event. Those of processes continue the process's name; a gap is
 * nobody's.
 */
export function textOf({ kind, process, text }) {
  return kind !== 'gap' && PROCESS.test(process) && !text.startsWith(process) ? `${process} ${text}` : text;
}

/** The time since the event before, if that was a moment ago: what makes an election readable. */
export function delta(event, previous) {
  const ms = previous ? event.at_ms - previous.at_ms : Infinity;
  if (ms >= 1000) return '';
  return `+${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/**
 * A line of the log.
 *
 * @param {Object} event
 * @param {Object|null} previous the event before it
 * @param {{key: string}} options
 */
export function eventLine(event, previous, { key }) {
  const topic = topicOf(event.kind);
  return h('li', {
    key, 'data-kind': event.kind, 'data-process': null, 'data-topic': topic,
    class: event.notable ? null : 'detail',
  },
  h('button', {
    type: 'button', class: 'time', 'data-action': 'scrub', 'data-at': event.at_ms,
    title: 'Show the store at this moment',
  }, preciseClock(event.at_ms)),
  h('span', { class: 'delta' }, delta(event, previous)),
  h('span', { class: `mark mark-${topic}` }, TOPIC_NAMES[topic]),
  h('span', { class: 'text' }, sentence(textOf(event))));
}
