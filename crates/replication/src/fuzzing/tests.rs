use openraft::raft::{AppendEntriesRequest, VoteRequest};
use openraft::{CommittedLeaderId, EntryPayload};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::consensus::types::{CheckpointMeta, EncodedCommand, Entry, LogId, Types, Vote};
use crate::log::change::{LogBatch, LogChange};

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, api::NodeId::default()), index)
}

prop_compose! {
    /// What a leader might send, and sometimes what it would not send.
    fn append()(
        term in 0..4_u64,
        node in 0..3_u64,
        committed in prop::bool::weighted(0.9),
        prev in prop::option::of((0..4_u64, 0..4_u64)),
        entries in vec((0..4_u64, -1..2_i64, vec(any::<u8>(), 0..8)), 0..4),
        commit in prop::option::of((0..4_u64, 0..9_u64)),
    ) -> AppendEntriesRequest<Types> {
        let first = prev.map_or(0, |(_, index)| index + 1);
        let entry = |(place, (term, off, bytes)): (u64, (u64, i64, Vec<u8>))| Entry {
            log_id: log_id(term, place.saturating_add_signed(off.min(0))),
            payload: EntryPayload::Normal(EncodedCommand(bytes.into())),
        };
        let vote = if committed { Vote::new_committed(term, api::NodeId(node)) } else { Vote::new(term, api::NodeId(node)) };
        AppendEntriesRequest {
            vote,
            prev_log_id: prev.map(|(term, index)| log_id(term, index)),
            entries: (first..).zip(entries).map(entry).collect(),
            leader_commit: commit.map(|(term, index)| log_id(term, index)),
        }
    }
}

/// The body of the frame that a log would write of it.
fn batch(entries: Vec<Entry>) -> Vec<u8> {
    let changes = vec![LogChange::Vote(Vote::new(3, api::NodeId(7))), LogChange::Append(entries)];
    postcard::to_stdvec(&LogBatch { committed: Some(log_id(1, 2)), changes }).unwrap()
}

/// Random bytes, or a valid message with a few bytes changed.
fn nearly(good: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (good, vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)).prop_map(|(mut bytes, changes)| {
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn any_bytes_are_borne(bytes in vec(any::<u8>(), 0..200)) {
        log_record(&bytes);
        message(&bytes);
        state_transfer(&bytes);
        state_file(&bytes);
        identity(&bytes);
    }

    #[test]
    fn few_and_small_bytes_are_borne(bytes in vec(0..4_u8, 0..24)) {
        log_record(&bytes);
        message(&bytes);
    }

    #[test]
    fn messages_that_are_nearly_right_are_borne(body in nearly(append().prop_map(|a| postcard::to_stdvec(&a).unwrap()))) {
        message(&body);
    }

    #[test]
    fn log_records_that_are_nearly_right_are_borne(body in nearly(append().prop_map(|a| batch(a.entries)))) {
        log_record(&body);
    }

    #[test]
    fn an_append_is_taken_exactly_if_a_leader_could_have_sent_it(request in append()) {
        let AppendEntriesRequest { vote, prev_log_id, entries, leader_commit } = &request;
        let ids: Vec<_> = prev_log_id.iter().chain(entries.iter().map(|entry| &entry.log_id)).collect();
        let first = prev_log_id.map_or(0, |last| last.index + 1);
        let consecutive = (first..).zip(entries).all(|(index, entry)| entry.log_id.index == index);
        let terms_grow = ids.is_sorted_by_key(|id| id.leader_id.term);
        let of_the_past = ids.into_iter().chain(leader_commit).all(|id| id.leader_id.term <= vote.leader_id.term);
        let elected = vote.committed && vote.leader_id.term > 0 && vote.leader_id.voted_for != Some(api::NodeId(0));
        let taken = validation::append(&codec::encode(&request).unwrap());
        prop_assert_eq!(taken.is_ok(), consecutive && terms_grow && of_the_past && elected, "{:?}", taken.map(drop));
    }

    #[test]
    fn states_that_are_nearly_right_are_borne(bytes in nearly(vec(any::<u8>(), 0..99).prop_map(|state| {
        let header = state_transfer::Header { vote: Vote::new_committed(3, api::NodeId(7)), meta: CheckpointMeta::default() };
        state_transfer::put_together(&header, &state)
    }))) {
        state_transfer(&bytes);
    }
}

#[test]
fn messages_that_no_candidate_and_no_leader_sends_are_refused() {
    let no_candidate = Vote { leader_id: openraft::LeaderId { term: 5, voted_for: None }, committed: true };
    let append = |vote| AppendEntriesRequest::<Types> { vote, prev_log_id: None, entries: vec![], leader_commit: None };
    let sent = |request| validation::append(&codec::encode(&append(request)).unwrap()).map(drop);
    assert_eq!(sent(Vote::new_committed(5, api::NodeId(7))), Ok(()));
    assert_eq!(sent(no_candidate), Err("its vote names no candidate".to_owned()));
    assert_eq!(sent(Vote::new(5, api::NodeId(7))), Err("its sender was not elected".to_owned()));
    assert!(sent(Vote::new_committed(u64::MAX, api::NodeId(7))).unwrap_err().contains("no term"));
    let asked = |vote, last| validation::vote(&codec::encode(&VoteRequest::new(vote, last)).unwrap()).map(drop);
    assert_eq!(asked(Vote::new(5, api::NodeId(7)), Some(log_id(4, 9))), Ok(()));
    assert!(asked(Vote::new_committed(5, api::NodeId(7)), None).is_err());
    assert!(asked(Vote::new(5, api::NodeId(7)), Some(log_id(6, 9))).is_err());
    assert!(asked(Vote::new(5, api::NodeId(7)), Some(log_id(4, u64::MAX))).is_err());
}
