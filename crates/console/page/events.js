/**
 * What kinds of events there are, and what terms look like: for the console and for stories.
 *
 * The protocol events are those of `crates/api/src/event.rs`.
 */

/** As many terms have colours of their own; then they begin again. */
export const TERM_COLOURS = 8;

/** The class that colours something by its term. */
export const termClass = (term) => (term === null || term === undefined
  ? 'term-none'
  : `term-${term % TERM_COLOURS}`);

const TOPICS = {
  election: ['leader_suspected', 'leader_found', 'election_started', 'candidate_declined',
    'leader_confirmed', 'election_impossible', 'group_starting', 'stood_for_election', 'voted',
    'leads', 'catalog_leads', 'follows', 'follows_nobody', 'taking_over', 'reservations_resolved',
    'takes_orders', 'leadership_transferred'],
  member: ['replica_joining', 'replica_joined', 'replica_removed', 'checkpoint_made', 'state_sent',
    'state_received'],
  order: ['batch_reserved', 'batch_placed', 'batch_settled', 'restocked'],
  cache: ['invalidated', 'cache_invalidated', 'invalidation_unconfirmed', 'invalidation_expired',
    'lease_held', 'lease_granted', 'lease_lost', 'lease_released', 'cache_filled', 'fill_refused'],
  fault: ['unreachable', 'disk_low', 'disk_full'],
  good: ['replica_started', 'back', 'disk_ample'],
  control: ['control'],
  gap: ['gap'],
};
const TOPIC_OF = new Map(Object.entries(TOPICS)
  .flatMap(([topic, kinds]) => kinds.map((kind) => [kind, topic])));

/** What an event is about: decides its mark's colour and shape. */
export const topicOf = (kind) => TOPIC_OF.get(kind) ?? 'other';
