/** The log: one sentence per event, in step with the moment that is shown. */
import { html } from './markup.js';
import { seconds, termClass } from './format.js';

const PARTS = /\b((?:frontend|order|catalog)-\d+|client \d+|term \d+)\b/;

const MARKS = [
  ['fact', ['fact']],
  ['fault', ['fault', 'ended', 'disk_low', 'disk_full', 'lease_lost', 'invalidation_unconfirmed']],
  ['election', ['leader_suspected', 'leader_found', 'election_started', 'candidate_declined',
    'leader_confirmed', 'election_impossible', 'stood_for_election', 'voted', 'leads', 'follows',
    'follows_nobody', 'leadership_transferred', 'taking_over', 'takes_orders', 'catalog_leads',
    'reservations_resolved', 'group_starting']],
  ['cache', ['lease_held', 'lease_granted', 'lease_released', 'cache_filled', 'fill_refused',
    'cache_invalidated', 'invalidated', 'invalidation_expired']],
  ['group', ['replica_started', 'replica_joining', 'replica_joined', 'replica_removed',
    'checkpoint_made', 'state_sent', 'state_received']],
  ['order', ['batch_reserved', 'batch_placed', 'batch_settled', 'restocked', 'order']],
  ['read', ['read']],
  ['start', ['started', 'resumed', 'disk_ample']],
  ['phase', ['phase']],
];
const MARK_OF = new Map(MARKS.flatMap(([mark, kinds]) => kinds.map((kind) => [kind, mark])));

/** What an event is about: decides its colour. */
export const markOf = (kind) => MARK_OF.get(kind) ?? 'other';

/** A sentence, with names of processes and terms marked. */
export function sentence(text) {
  return text.split(PARTS).filter(Boolean).map((part) => {
    if (!PARTS.test(part)) return part;
    if (!part.startsWith('term ')) return html`<b>${part}</b>`;
    return html`<span class="term ${termClass(Number(part.slice(5)))}">${part}</span>`;
  });
}

function line(entry, state) {
  const mark = markOf(entry.kind);
  const name = entry.level === 'fact' ? `fact ${entry.number}` : mark;
  return html`<li class="${entry.level} ${state}" data-mark="${mark}"><button type="button"
    class="at" data-at="${entry.at}" title="Show this moment">${seconds(entry.at)}</button><span
    class="mark mark-${mark}">${name}</span><span class="text ${entry.outcome ?? ''}">${sentence(entry.text)}</span></li>`;
}

/** @param {ReturnType<import('./story.js').entriesAround>} around */
export function log({ entries, current, before, after }) {
  const more = (count, where) => (count > 0
    ? html`<li class="more">${count} ${where}</li>`
    : '');
  const state = (place) => {
    if (place > current) return 'later';
    return place === current ? 'current' : 'past';
  };
  return html`${more(before, 'before')}${entries.map((entry, place) => line(entry, state(place)))}${more(after, 'later')}`;
}
