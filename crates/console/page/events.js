/** What topics of events and terms look like: for the console and for stories. */

/** As many terms have colours of their own; then they begin again. */
export const TERM_COLOURS = 8;

/** The class that colours something by its term. */
export const termClass = (term) => (term === null || term === undefined
  ? 'term-none'
  : `term-${term % TERM_COLOURS}`);

/**
 * What a topic is called on its mark. The server sends the topic with each event: those of
 * processes are in `crates/api/src/event/topic.rs`.
 */
export const TOPIC_NAMES = {
  election: 'election', member: 'group', order: 'order', cache: 'cache', fault: 'fault', good: 'up',
  control: 'you', gap: 'gap',
};
