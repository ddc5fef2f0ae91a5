//! The checks that a peer's message must pass before openraft sees it.
//!
//! openraft trusts its peers, and treats what they never send as a bug of its own: a leader without
//! an id, or a gap between two entries, ends the process. So whatever can be checked in the message
//! alone is checked here, and refused with 400. A well-formed but false message cannot be
//! recognized: a client with the internal token can do harm.
//!
//! Terms only grow: a replica that has seen one takes part in no earlier one. So terms are compared
//! with what this replica has seen itself ([`check_plausible_term`]), and no message can exhaust
//! them.

use api::Term;
use openraft::raft::{AppendEntriesRequest, VoteRequest};

use crate::codec;
use crate::consensus::types::{LogId, Types, Vote};

/// Larger than any term or index: at a million per second it takes 285 years to get there. It
/// leaves openraft room to count on.
const NUMBER_MAX: u64 = 1 << 53;

/// How far a group can have come while one of its replicas was away: a million elections, ten per
/// second for a day.
const TERMS_AHEAD_MAX: u64 = 1 << 20;

/// Whether a peer can have reached `term` if this replica has seen `own`. A replica that has seen
/// no term knows nothing of its group.
pub(crate) fn check_plausible_term(own: Term, term: Term) -> Result<(), String> {
    if own == Term(0) || term.0.saturating_sub(own.0) <= TERMS_AHEAD_MAX {
        return Ok(());
    }
    Err(format!(
        "term {term} is more than {TERMS_AHEAD_MAX} ahead of {own}, the highest that this replica has seen. If the replica was really away for that long, \
         start it with an empty disk"
    ))
}

/// An append: a leader's entries or its heartbeat.
pub(crate) fn append(body: &[u8]) -> Result<AppendEntriesRequest<Types>, String> {
    let request: AppendEntriesRequest<Types> = codec::decode(body)?;
    check_leader(&request.vote)?;
    let term = request.vote.leader_id.term;
    check_log_id(request.prev_log_id.as_ref(), term)?;
    check_log_id(request.leader_commit.as_ref(), term)?;
    let mut last = request.prev_log_id;
    for entry in &request.entries {
        check_log_id(Some(&entry.log_id), term)?;
        let index = last.map_or(0, |last| last.index + 1);
        if entry.log_id.index != index {
            return Err(format!("entry {} is where entry {index} is expected", entry.log_id.index));
        }
        if last.is_some_and(|last| last.leader_id.term > entry.log_id.leader_id.term) {
            return Err(format!("entry {index} is of an earlier term than the one before it"));
        }
        last = Some(entry.log_id);
    }
    Ok(request)
}

/// A candidate's vote request.
pub(crate) fn vote(body: &[u8]) -> Result<VoteRequest<api::NodeId>, String> {
    let request: VoteRequest<api::NodeId> = codec::decode(body)?;
    check_vote(&request.vote)?;
    if request.vote.committed {
        return Err("the vote of a candidate is not committed".to_owned());
    }
    check_log_id(request.last_log_id.as_ref(), request.vote.leader_id.term)?;
    Ok(request)
}

/// Checks the vote of an elected leader.
pub(crate) fn check_leader(vote: &Vote) -> Result<(), String> {
    check_vote(vote)?;
    if vote.committed { Ok(()) } else { Err("its sender was not elected".to_owned()) }
}

fn check_vote(vote: &Vote) -> Result<(), String> {
    if vote.leader_id.voted_for.is_none_or(|node| node == api::NodeId::default()) {
        return Err("its vote names no candidate".to_owned());
    }
    if !(1..=NUMBER_MAX).contains(&vote.leader_id.term) {
        return Err(format!("{} is no term number, which is from 1 to 2^53", vote.leader_id.term));
    }
    Ok(())
}

/// Checks that a log id is not of a later term than its sender's.
pub(crate) fn check_log_id(log_id: Option<&LogId>, term: u64) -> Result<(), String> {
    let Some(log_id) = log_id else { return Ok(()) };
    if log_id.index > NUMBER_MAX {
        return Err(format!("{} is no index in a log", log_id.index));
    }
    if log_id.leader_id.term > term {
        return Err(format!("it is of term {term}, but contains a log id of term {}", log_id.leader_id.term));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_takes_a_group_to_the_end_of_its_terms() {
        let plausible = |own, term| check_plausible_term(Term(own), Term(term)).is_ok();
        assert!(plausible(5, 6) && plausible(5, 4) && plausible(5, 5 + TERMS_AHEAD_MAX));
        assert!(!plausible(5, 6 + TERMS_AHEAD_MAX) && !plausible(5, NUMBER_MAX) && !plausible(1, u64::MAX));
        assert!(plausible(0, 3_000_000), "an empty replica learns its group's term");
    }
}
