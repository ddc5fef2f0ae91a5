/**
 * Protocol events as lines of a log. The sentences come whole from the console; here they only get
 * their colours: names of processes, and terms.
 */
import { h } from './vnode.js';
import { preciseClock } from './format.js';
import { TOPIC_NAMES, termClass } from './events.js';

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
  const { topic } = event;
  return h('li', {
    key, 'data-kind': event.kind, 'data-topic': topic, class: event.notable ? null : 'detail',
  },
  h('button', {
    type: 'button', class: 'time', 'data-action': 'scrub', 'data-at': event.at_ms,
    title: 'Show the store at this moment',
  }, preciseClock(event.at_ms)),
  h('span', { class: 'delta' }, delta(event, previous)),
  h('span', { class: `mark mark-${topic}` }, TOPIC_NAMES[topic] ?? topic),
  h('span', { class: 'text' }, sentence(event.text)));
}
