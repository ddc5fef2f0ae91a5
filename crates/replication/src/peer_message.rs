//! What a peer may say: the checks that a message must pass before the engine sees it.
//!
//! The engine trusts its peers, and takes what they never say for a bug of its own: a leader without a name, or a gap between two
//! entries, ends the process. So whatever can be told from a message alone is told here, and answered with 400. What is said well-formed but
//! falsely cannot be told: who has the internal token can do harm.

use openraft::raft::{AppendEntriesRequest, VoteRequest};

use crate::engine::{LogId, Types, Vote};
use crate::record;

/// More than any term or index: at a million a second they take 285 years to get there. Leaves the engine room to count on.
const NUMBER_MAX: u64 = 1 << 53;

/// Entries from a leader, or its heartbeat.
pub(crate) fn append(body: &[u8]) -> Result<AppendEntriesRequest<Types>, String> {
    let request: AppendEntriesRequest<Types> = record::decode(body)?;
    check_leader(&request.vote)?;
    let term = request.vote.leader_id.term;
    check_log_id(request.prev_log_id.as_ref(), term)?;
    check_log_id(request.leader_commit.as_ref(), term)?;
    let mut last = request.prev_log_id;
    for entry in &request.entries {
        check_log_id(Some(&entry.log_id), term)?;
        let index = last.map_or(0, |last| last.index + 1);
        if entry.log_id.index != index {
            return Err(format!("entry {} comes where {index} is next", entry.log_id.index));
        }
        if last.is_some_and(|last| last.leader_id.term > entry.log_id.leader_id.term) {
            return Err(format!("entry {index} is of an earlier term than the one before it"));
        }
        last = Some(entry.log_id);
    }
    Ok(request)
}

/// A candidate's wish.
pub(crate) fn vote(body: &[u8]) -> Result<VoteRequest<api::NodeId>, String> {
    let request: VoteRequest<api::NodeId> = record::decode(body)?;
    check_vote(&request.vote)?;
    if request.vote.committed {
        return Err("a candidate has no committed vote".to_owned());
    }
    check_log_id(request.last_log_id.as_ref(), request.vote.leader_id.term)?;
    Ok(request)
}

/// The vote of one who has been elected.
pub(crate) fn check_leader(vote: &Vote) -> Result<(), String> {
    check_vote(vote)?;
    if vote.committed { Ok(()) } else { Err("its sender was not elected".to_owned()) }
}

fn check_vote(vote: &Vote) -> Result<(), String> {
    if vote.leader_id.voted_for.is_none_or(|node| node == api::NodeId::default()) {
        return Err("its vote is for nobody".to_owned());
    }
    if !(1..=NUMBER_MAX).contains(&vote.leader_id.term) {
        return Err(format!("{} is no term", vote.leader_id.term));
    }
    Ok(())
}

/// Nothing is in a log before its term began.
pub(crate) fn check_log_id(log_id: Option<&LogId>, term: u64) -> Result<(), String> {
    let Some(log_id) = log_id else { return Ok(()) };
    if log_id.index > NUMBER_MAX {
        return Err(format!("{} is no place in a log", log_id.index));
    }
    if log_id.leader_id.term > term {
        return Err(format!("it is of term {term}, but tells of term {}", log_id.leader_id.term));
    }
    Ok(())
}
