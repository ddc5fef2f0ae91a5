//! Refuses what no correct order leader could request, although the client has the token.
//!
//! * An order leader's term above the fence: an order replica has seen it. While some replicas do
//!   not answer, or are unknown, it may be up to [`UNSEEN_TERMS_MAX`] above the fence.
//! * A batch's number: up to [`BATCHES_SKIPPED_MAX`] above the last one of its term.
//! * `settle.through`: the last batch that was reserved in its term; within a reservation, one
//!   before its own.
//! * `released`, `keep`, `release`: as many orders as can be [open](OPEN_MAX).
//!
//! The first bound matters most, because a fence is permanent. With a term that the order group
//! never reaches, no order could ever be placed again.

use std::time::Duration;

use api::catalog::{ReserveBatch, Resolve, Settle};
use api::{ApiError, BatchId, ErrorCode, Ordinal, Term};
use discovery::{Group, StatusPoll};

use crate::reservation::OPEN_MAX;
use crate::state_machine::Action;

/// For the statuses of the order replicas. A replica that has seen the term is running, since it
/// has just voted in it, and answers from memory.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);

/// How far a term may be above the fence if no order replica that answers has seen it, but some do
/// not answer: elections that were held while they and this catalog could not reach each other.
const UNSEEN_TERMS_MAX: u64 = 64;

/// Batches are numbered without gaps; a leader that gives one up skips its number.
const BATCHES_SKIPPED_MAX: u64 = 1024;

/// The order leader's term that an action claims.
pub(crate) fn claimed_term(action: &Action) -> Option<Term> {
    match action {
        Action::Fence(fence) => Some(fence.term),
        Action::Resolve(Resolve { term, .. }) | Action::Settle(Settle { term, .. }) => Some(*term),
        Action::Reserve(ReserveBatch { id, .. }) => Some(id.term),
        Action::Seed(_) | Action::Restock { .. } | Action::ExtendLease { .. } => None,
    }
}

/// Whether the order group can have reached `term`, which is above the `fence`.
pub(crate) async fn check_term_was_seen(orders: &Group, fence: Term, term: Term) -> Result<(), ApiError> {
    let replicas: Vec<_> = orders.replicas().into_keys().collect();
    let poll = orders.poll_statuses_until(POLL_TIMEOUT, |poll| has_seen(poll, term)).await;
    if is_plausible(term, fence, &replicas, &poll) {
        return Ok(());
    }
    let highest = highest_term(&poll)
        .map_or_else(|| "no replica answers".to_owned(), |highest| format!("the highest is {highest}"));
    tracing::warn!(term = term.0, fence = fence.0, highest, "a client claims a term that no order replica has seen");
    Err(ApiError::new(ErrorCode::BadRequest, format!("no order replica has seen term {term}: {highest}")))
}

/// Whether one of the `replicas` has seen `term`, as far as they have answered.
fn is_plausible(term: Term, fence: Term, replicas: &[Ordinal], poll: &StatusPoll) -> bool {
    if has_seen(poll, term) {
        return true;
    }
    let has_answered = |ordinal: &Ordinal| poll.get(ordinal).is_some_and(Result::is_ok);
    let all_answered = !replicas.is_empty() && replicas.iter().all(has_answered);
    let known = highest_term(poll).unwrap_or_default().max(fence);
    !all_answered && term.0.saturating_sub(known.0) <= UNSEEN_TERMS_MAX
}

fn has_seen(poll: &StatusPoll, term: Term) -> bool {
    highest_term(poll).is_some_and(|highest| highest >= term)
}

fn highest_term(poll: &StatusPoll) -> Option<Term> {
    poll.values().flatten().map(|status| status.term).max()
}

/// Whether an order leader can request `action` after the batch `last`.
pub(crate) fn check(action: &Action, last: Option<BatchId>) -> Result<(), ApiError> {
    let refuse = |what: String| Err(ApiError::new(ErrorCode::BadRequest, what));
    let last_of = |term: Term| last.filter(|last| last.term == term).map_or(0, |last| last.batch.0);
    let settled = |settle: &Settle, reserved: u64| {
        if settle.released.len() > OPEN_MAX {
            return refuse(format!("at most {OPEN_MAX} orders can be released, not {}", settle.released.len()));
        }
        if settle.through.0 > reserved {
            return refuse(format!("batch {} of term {} was never reserved", settle.through, settle.term));
        }
        Ok(())
    };
    match action {
        Action::Reserve(ReserveBatch { id, settle, .. }) => {
            let last = last_of(id.term);
            if id.batch.0 > last.saturating_add(BATCHES_SKIPPED_MAX) {
                return refuse(format!("batch {id} was sent, but batch {} is next", last + 1));
            }
            settle.as_ref().map_or(Ok(()), |settle| settled(settle, id.batch.0.saturating_sub(1)))
        }
        Action::Settle(settle) => settled(settle, last_of(settle.term)),
        Action::Resolve(Resolve { keep, release, .. }) if keep.len().max(release.len()) > OPEN_MAX => {
            refuse(format!("at most {OPEN_MAX} orders can be kept, and as many released"))
        }
        Action::Resolve(_)
        | Action::Fence(_)
        | Action::Seed(_)
        | Action::Restock { .. }
        | Action::ExtendLease { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use api::catalog::Fence;
    use api::replica::ReplicaStatus;
    use api::{Address, BatchNumber, NodeId, OrderId};
    use service::json_client::CallError;

    use super::*;

    fn settle(term: u64, through: u64) -> Settle {
        Settle { term: Term(term), through: BatchNumber(through), released: Vec::new() }
    }

    fn id(term: u64, batch: u64) -> BatchId {
        BatchId { term: Term(term), batch: BatchNumber(batch) }
    }

    fn reserve(batch: BatchId, settle: Option<Settle>) -> Action {
        Action::Reserve(ReserveBatch { id: batch, orders: Vec::new(), settle })
    }

    #[test]
    fn batches_and_settlements_must_follow_the_last_one() {
        let last = Some(id(5, 10));
        for valid in [
            reserve(id(5, 11), Some(settle(5, 10))),
            reserve(id(5, 10), Some(settle(5, 9))),
            reserve(id(6, 1), None),
            reserve(id(4, 9), None),
            Action::Settle(settle(5, 10)),
            Action::Settle(settle(5, 3)),
            Action::Settle(settle(6, 0)),
            Action::Fence(Fence { term: Term(7) }),
        ] {
            assert_eq!(check(&valid, last), Ok(()), "{valid:?}");
        }
        let many = vec![OrderId::random(); OPEN_MAX + 1];
        for invalid in [
            reserve(id(5, u64::MAX), None),
            reserve(id(5, 11 + BATCHES_SKIPPED_MAX), None),
            reserve(id(6, 2 + BATCHES_SKIPPED_MAX), None),
            reserve(id(5, 11), Some(settle(5, 11))),
            Action::Settle(settle(5, 11)),
            Action::Settle(settle(6, 1)),
            Action::Settle(settle(5, u64::MAX)),
            Action::Settle(Settle { released: many.clone(), ..settle(5, 10) }),
            Action::Resolve(Resolve { term: Term(6), keep: many, release: Vec::new() }),
        ] {
            assert_eq!(check(&invalid, last).unwrap_err().code, ErrorCode::BadRequest, "{invalid:?}");
        }
    }

    #[test]
    fn only_a_term_that_a_silent_replica_may_have_seen_is_accepted_unseen() {
        let replicas = [Ordinal(1), Ordinal(2)];
        let seen = |ordinal: u8, term: u64| {
            let id = NodeId::new(Ordinal(ordinal), 1);
            (Ordinal(ordinal), Ok(ReplicaStatus { term: Term(term), ..ReplicaStatus::empty("order", id) }))
        };
        let failed = (Ordinal(2), Err(CallError::Unreachable(Address::new("order", 2))));
        // Each with the lowest term that is refused.
        for (case, poll, refused) in [
            ("both have answered", vec![seen(1, 7), seen(2, 6)], 8),
            ("one has seen more elections", vec![seen(1, 7), seen(2, 3000)], 3001),
            ("one is late", vec![seen(1, 7)], 72),
            ("one is late, the other has seen more", vec![seen(1, 100)], 165),
            ("one does not answer", vec![seen(1, 7), failed], 72),
            ("both are late", vec![], 72),
        ] {
            let poll = StatusPoll::from_iter(poll);
            let is_plausible = |term| is_plausible(Term(term), Term(7), &replicas, &poll);
            assert!(is_plausible(refused - 1), "{case}");
            assert!([refused, 1 << 40, u64::MAX].into_iter().all(|term| !is_plausible(term)), "{case}");
        }
        assert!(is_plausible(Term(71), Term(7), &[], &StatusPoll::new()), "no replica is known");
        assert!(!is_plausible(Term(72), Term(7), &[], &StatusPoll::new()));
    }
}
