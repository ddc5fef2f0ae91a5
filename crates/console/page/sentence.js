/**
 * Protocol events as lines of a log. The sentences come from the processes; here they only get
 * their colours: names of processes, and terms.
 */
import { h } from './vnode.js';
import { preciseClock } from './format.js';

/** As many terms have colours of their own; then they begin again. */
export const TERM_COLOURS = 8;

/** The class that colours something by its term. */
export const termClass = (term) => (term === null || term === undefined
  ? 'term-none'
  : `term-${term % TERM_COLOURS}`);

const TOPICS = {
  election: ['leader_suspected', 'statuses_polled', 'candidate_asked', 'leader_confirmed',
    'leader_missing', 'stood_for_election', 'voted', 'leadership_changed', 'took_over',
    'leadership_transferred'],
  member: ['replica_joining', 'replica_joined', 'replica_removed', 'checkpoint_made', 'state_sent',
    'state_received'],
  order: ['batch_reserved', 'batch_placed', 'batch_settled', 'restocked'],
  cache: ['invalidated', 'invalidation_expired', 'lease_granted', 'lease_lost', 'lease_released',
    'cache_filled', 'fill_refused', 'cache_dropped'],
  fault: ['unreachable', 'disk_space', 'stopping'],
  good: ['started', 'back'],
  control: ['control'],
  gap: ['gap'],
};
const TOPIC_OF = new Map(Object.entries(TOPICS)
  .flatMap(([topic, kinds]) => kinds.map((kind) => [kind, topic])));

/** What an event is about: decides its mark's colour and shape. */
export const topicOf = (kind) => TOPIC_OF.get(kind) ?? 'other';

export const TOPIC_NAMES = {
  election: 'election', member: 'group', order: 'order', cache: 'cache', fault: 'fault',
  good: 'back', control: 'you', gap: 'gap', other: 'event',
};

const PARTS = /\b((?:frontend|order|catalog)-\d+|term \d+)\b/;

/** A sentence, with process names and terms marked. */
export function sentence(text) {
  return text.split(PARTS).filter(Boolean).map((part) => {
    if (!PARTS.test(part)) return part;
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
  h('span', { class: 'text' }, sentence(event.text)));
}
